"""Networks other than the four models: bit-exact on the board, layers within what is promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import check_verification, verify_on_board
from tests.benchmarks.layers import BOARD, rows
from tests.benchmarks.networks import NETWORKS
from tests.ops.harness import skip_without_oracle

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = [pytest.mark.emulator, pytest.mark.toolchain, pytest.mark.usefixtures("own_cache")]

VECTORS = 14


@pytest.mark.parametrize("network", NETWORKS)
def test_bit_exact(network: str, tmp_path: Path) -> None:
    skip_without_oracle("tflite")
    path = tmp_path / "network.tflite"
    path.write_bytes(NETWORKS[network]())
    firmware = firmware_for(path, load_board(BOARD), Settings())
    inputs = make_vectors([port.tensor for port in firmware.program.inputs], VECTORS)
    check_verification(firmware, verify_on_board(firmware, inputs))


@pytest.mark.parametrize("network", NETWORKS)
def test_instructions_per_multiply_accumulate(network: str, tmp_path: Path) -> None:
    measured = list(rows(network, BOARD, tmp_path))
    assert any(row.limit is not None for row in measured)
    over = [
        f"{row.layer}: {row.per_mac:.3f}, at most {row.limit}"
        for row in measured
        if row.limit is not None and row.per_mac > row.limit
    ]
    assert not over
