"""The estimate of code before a build is near what is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings, compile_for
from exporter.render.code_estimate import COSTS, Costs, Counts, code_bytes, count, estimate
from tests.benchmarks.code_size import BOARDS, NETWORKS, RANDOM, Sample, fit, models, sample
from tests.hil.support import SHARED_MODELS

WITHIN = 0.15
WITHIN_OF_RANDOM = 0.25
"""Random graphs are small: a layer that the compiler treats unlike others is much of them."""
SEEDS = (0, 3)


IN_MAKE_TEST = ("mps2-an386", "riscv32-virt")


@pytest.mark.toolchain
@pytest.mark.parametrize(
    "board",
    [
        pytest.param(board, marks=[] if board in IN_MAKE_TEST else [pytest.mark.long])
        for board in BOARDS
    ],
)
def test_the_estimate_is_near_what_is_built(board: str, tmp_path: Path) -> None:
    if not SHARED_MODELS.is_dir():
        pytest.skip("the benchmark models are not here")
    target, settings = load_board(board), Settings(toolchain="gcc")
    off = {}
    for name, path in models(tmp_path, SEEDS):
        program = compile_for(path, target, settings).program
        found = code_bytes(program, target.platform, target.instruction_set, "gcc")
        assert found is not None
        built = sample(name, program, target, settings, tmp_path).code_bytes
        within = WITHIN_OF_RANDOM if name.startswith(tuple(RANDOM)) else WITHIN
        if abs(found - built) > within * built:
            off[name] = (found, built)
    assert not off


def test_every_board_toolchain_and_goal_was_fitted() -> None:
    fitted = {
        (board.platform, board.instruction_set, toolchain, optimize)
        for board in map(load_board, BOARDS)
        for toolchain in ("gcc", "clang")
        for optimize in ("speed", "size")
    }
    assert set(COSTS) == fitted
    assert len(NETWORKS) == 5


SOURCE = """
/* int32_t x = nano_clamp(a, b, c); */
#if defined(__ARM_FEATURE_DSP) && !defined(NANO_C_TWINS)
static void f(void)
{
    __asm__ volatile("push {r4}\\n\\t"
                     "1:\\n"
                     ".rept 3\\n"
                     "nop\\n\\tadd r0, r0, r1\\n"
                     ".endr\\n"
                     "pop {r4}\\n");
}
#else
static void twin(void) { memcpy(a, b, 4); }
#endif
    static const uint16_t order[5] = {
        1, 2, 1, 2, 3
    };
"""


def test_what_is_counted() -> None:
    here = count(SOURCE, "cortex_m", "dsp")
    assert here == Counts(assembly=8, names=6, inlined=0, copies=0, one=1, tables=10)
    twin = count(SOURCE, "riscv", "generic")
    assert (twin.assembly, twin.copies, twin.tables) == (0, 1, 10)
    assert count("int x = nano_clamp(a, b, c);\n", "riscv", "generic").inlined > 0


def test_the_fit_finds_the_costs_that_made_the_sizes() -> None:
    costs = Costs(4.0, 1.5, 2.0, 100.0, 50.0)
    shapes = [(10, 900, 40, 0), (400, 500, 10, 1), (50, 2500, 300, 1), (0, 700, 90, 0),
              (900, 100, 5, 1), (30, 1200, 0, 0)]  # fmt: skip
    counts = [Counts(a, n, i, c, 1, 7 * a) for a, n, i, c in shapes]
    samples = [Sample(f"s{n}", c, round(estimate(costs, c))) for n, c in enumerate(counts)]
    found = fit(samples)
    for one in samples:
        assert estimate(found, one.counts) == pytest.approx(one.code_bytes, rel=0.01)
