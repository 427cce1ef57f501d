"""Generated code makes no unaligned access, on cores that allow one too: cheaper cores fault.

On `host`, the operators' tests run under -fsanitize=undefined, which includes alignment. On Arm,
where test_on_boards.py runs every generic kernel so, CCR.UNALIGN_TRP makes every unaligned access
of a halfword or a word a fault; QEMU 7.2 implements it for Armv7-M
(`test_unaligned_access_can_be_made_a_fault` in tests/platform makes one and sees the fault). LDM,
STM and LDRD fault on unaligned addresses anyway, on silicon and in QEMU.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.compilers import host_compiler
from tests.ops.harness import BUILD_OF_DIALECT, BUILDS

MISALIGNED = """
#include <stdint.h>

int main(int count, char **arguments)
{
    static int32_t words[2];
    const int8_t *const bytes = (const int8_t *)words + %d * count;
    (void)arguments;
    return (int)*(const int32_t *)(const void *)bytes;
}
"""


@pytest.mark.parametrize(("offset", "passes"), [(4, True), (1, False), (2, False)])
def test_the_build_of_operator_tests_stops_at_a_misaligned_load(
    tmp_path: Path, offset: int, passes: bool
) -> None:
    source, program = tmp_path / "misaligned.c", tmp_path / "misaligned"
    source.write_text(MISALIGNED % offset, encoding="utf-8")
    name, *flags = BUILDS[BUILD_OF_DIALECT["tflite"]]
    subprocess.run([*host_compiler(name), *flags, str(source), "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == passes
    assert ("misaligned address" in done.stderr) != passes
