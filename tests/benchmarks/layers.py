"""Instructions per multiply-accumulate of the layers of other networks, in Markdown.

python -m tests.benchmarks.layers [--board BOARD]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.board import load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.graph.tflite_reader import read
from exporter.hil.bench import bench_on_board
from tests.benchmarks.measure import BOARDS
from tests.benchmarks.networks import NETWORKS, limit

BOARD = "mps2-an386"


@dataclass(frozen=True)
class LayerRow:
    """One layer of a network. `limit`: instructions per multiply-accumulate on a Cortex-M4."""

    network: str
    layer: str
    kernel: str
    macs: int
    instructions: int
    limit: float | None

    @property
    def per_mac(self) -> float:
        return self.instructions / self.macs


def rows(network: str, board: str, folder: Path) -> Iterator[LayerRow]:
    """Each layer with multiply-accumulates, measured on `board`."""
    data = NETWORKS[network]()
    path = folder / f"{network}.tflite"
    path.write_bytes(data)
    graph = read(data)
    firmware = firmware_for(path, load_board(board), Settings(ram_for_time=0))
    result = bench_on_board(firmware)
    ops = {op.index: op for op in graph.ops}
    for cost, step in zip(result.layers, firmware.program.steps, strict=True):
        if step.macs and cost.instructions:
            source = graph[ops[step.op_index].input(0)].shape
            yield LayerRow(
                network=network,
                layer=f"{step.function}, input {list(source)}",
                kernel=step.candidate.kernel,
                macs=step.macs,
                instructions=cost.instructions,
                limit=limit(graph, ops[step.op_index]),
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--board", default=BOARD, choices=BOARDS)
    options = parser.parse_args()
    print("| network | layer | kernel | MACs | instructions | per MAC | at most, M4 |")
    print("|---|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for network in NETWORKS:
            for row in rows(network, options.board, Path(folder)):
                cells = (
                    row.network,
                    row.layer,
                    row.kernel,
                    f"{row.macs:,}",
                    f"{row.instructions:,}",
                    f"{row.per_mac:.2f}",
                    "" if row.limit is None else f"{row.limit:.1f}",
                )
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
