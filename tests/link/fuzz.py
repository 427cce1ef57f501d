"""libFuzzer on the C side of the link: the frame parser, and the whole device.

    python -m tests.link.fuzz --inputs 10000000 --seconds 600    # what ends first, each target
    python -m tests.link.fuzz --target frames --inputs 100000

It needs Debian's clang-14 and libclang-rt-14-dev. Inputs are drawn anew from `--seed`; what was
found is kept in the folder that the failure names.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from exporter.link.messages import Command
from tests.link.build import HERE, RUNTIME, STUB, TEMPLATES, WARNINGS

COMPILER = "clang-14"
LONGEST_INPUT_BYTES = 1024
TARGETS = {
    "frames": [HERE / "fuzz_frames.c", *(p for p in RUNTIME if p.name in ("frames.c", "crc32.c"))],
    "link": [HERE / "fuzz_link.c", *STUB],
}
_PAYLOAD_BYTES = {
    Command.IDENTIFY: 2,
    Command.DESCRIBE_TENSOR: 4,
    Command.DESCRIBE_STEP: 4,
    Command.POISON: 1,
    Command.WRITE: 14,
    Command.READ: 8,
    Command.PROFILE: 4,
    Command.SPIN: 4,
    Command.LOAD: 8,
}


def build(target: str, folder: Path) -> Path:
    """The fuzzer called `target`, with the address and undefined-behaviour sanitizers."""
    output = folder / f"fuzz_{target}"
    argv = [
        *(COMPILER, "-std=c99", "-g", "-O1", "-fsanitize=fuzzer,address,undefined"),
        *("-fno-sanitize-recover=all", *WARNINGS, f"-I{TEMPLATES / 'runtime'}"),
        *("-DNANO_LINK_PAYLOAD_BYTES=64", "-DFAKE_MODEL_IS_HARMLESS=1"),
        *("-o", str(output), *map(str, TARGETS[target])),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}\n{done.stderr}")
    return output


def seeds(folder: Path) -> Path:
    """Inputs to begin with: each command of the protocol, then its repetition (fuzz_link.c)."""
    folder.mkdir(exist_ok=True)
    for command in Command:
        request = bytes([command]) + bytes(_PAYLOAD_BYTES.get(command, 0))
        (folder / command.name).write_bytes(bytes([3, len(request), *request, 2, 0]))
    return folder


def fuzz(program: Path, *, inputs: int, seconds: int, seed: int) -> str:
    """libFuzzer's last line, which counts the inputs. Raises AssertionError for a finding."""
    argv = [
        str(program),
        f"-runs={inputs}",
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={LONGEST_INPUT_BYTES}",
        f"-artifact_prefix={program.parent}/",
        "-use_value_profile=1",
        "-print_final_stats=1",
        str(seeds(program.parent / "corpus")),
    ]
    done = subprocess.run(
        argv, capture_output=True, text=True, errors="replace", timeout=seconds + 120, check=False
    )
    assert done.returncode == 0, f"{program.name} in {program.parent}:\n{done.stderr[-4000:]}"
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+) ft: (\d+)", done.stderr)
    assert executed is not None and covered
    return f"{int(executed[1]):,} inputs, {covered[-1][0]} edges covered, no finding"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fuzz the C side of the link.")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    for target in chosen.target or sorted(TARGETS):
        folder = Path(tempfile.mkdtemp(prefix="nanoexport-fuzz-"))
        program = build(target, folder)
        told = fuzz(program, inputs=chosen.inputs, seconds=chosen.seconds, seed=chosen.seed)
        print(f"{target}: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
