"""Compiles the C side of the link for the tests, with the host's compiler and a fake model."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.compilers import FIRST_LINK_SECONDS, host_compiler

HERE = Path(__file__).parent
TEMPLATES = HERE.parent.parent / "firmware_templates"
RUNTIME = sorted(
    path
    for pattern in ("crc32.c", "frames.c", "link*.c")
    for path in (TEMPLATES / "runtime").glob(pattern)
)
HOST_PLATFORM = sorted((TEMPLATES / "platform" / "host").rglob("*.c"))
HIL = [
    *RUNTIME,
    TEMPLATES / "apps" / "hil" / "main.c",
    TEMPLATES / "runtime" / "no_timer.c",
    *HOST_PLATFORM,
    HERE / "fake_model.c",
]
STUB = [*RUNTIME, HERE / "stub_platform.c", HERE / "fake_model.c"]
LARGE_BYTES = 120_000
LIKE_HOST = (
    "-DNANO_LINK_PAYLOAD_BYTES=4096",  # boards/host.yaml
    "-DSTUB_WINDOW_BYTES=16384",  # platform/host/serial.c
    f"-DFAKE_MODEL_LARGE_BYTES={LARGE_BYTES}",
)
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compile_c(output: Path, sources: list[Path], *flags: str, compiler: str = "gcc") -> Path:
    """Compile and link C99 `sources` into `output`, warnings being errors."""
    argv = [
        *host_compiler(compiler),
        "-std=c99",
        "-O1",
        *WARNINGS,
        f"-I{TEMPLATES / 'runtime'}",
        f"-I{TEMPLATES / 'platform' / 'host'}",
        *flags,
        "-o",
        str(output),
        *map(str, sources),
    ]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=FIRST_LINK_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return output
