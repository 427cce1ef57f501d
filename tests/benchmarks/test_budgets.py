"""Arena and instructions of the four models: within their budgets, and better than the baseline."""

from __future__ import annotations

import pytest

from tests.benchmarks.measure import (
    BASELINE,
    BUDGETED_BOARDS,
    BUDGETS,
    INSTRUCTION_TOLERANCE,
    MODELS,
    SHARED_MODELS,
    arena_bytes,
    measure,
    read_json,
)

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = [
    pytest.mark.usefixtures("own_cache"),
    pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="needs ../shared/models"),
]

# Of the baseline's instructions on rv32imac; for ad01_int8 the target is a count.
RISCV_SHARE = 1 / 3
RISCV_AD_INSTRUCTIONS = 1_000_000

UPDATE = "better or accepted: python -m tests.benchmarks.table --update"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("board", BUDGETED_BOARDS)
def test_the_arena(board: str, model: str) -> None:
    """Exact: a plan that changes is looked at. Never more than the baseline's."""
    planned = arena_bytes(model, board)
    assert planned <= read_json(BASELINE)["models"][model]["arena_bytes"]
    assert planned == read_json(BUDGETS)["arena_bytes"][board][model], UPDATE


@pytest.mark.emulator
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("board", BUDGETED_BOARDS)
def test_the_instructions(board: str, model: str) -> None:
    firmware, result = measure(model, board)
    assert result.instructions is not None
    budget = read_json(BUDGETS)["instructions"][board][model]
    assert result.instructions <= budget * (1 + INSTRUCTION_TOLERANCE), UPDATE
    if board == "riscv32-virt":
        assert result.instructions <= riscv_target(model)
    layers = sum(layer.instructions or 0 for layer in result.layers)
    assert layers == pytest.approx(result.instructions, rel=0.02)
    assert firmware.footprint.static_ram_bytes <= read_json(BASELINE)["static_ram_bytes"][model]


def riscv_target(model: str) -> float:
    """The most instructions on riscv32-virt."""
    if model == "ad01_int8":
        return RISCV_AD_INSTRUCTIONS
    baseline: int = read_json(BASELINE)["models"][model]["instructions"]["rv32imac"]
    return baseline * RISCV_SHARE


def test_the_baseline_is_whole() -> None:
    models = read_json(BASELINE)["models"]
    assert set(models) == set(MODELS)
    for entry in models.values():
        assert set(entry["instructions"]) == {"m4", "m55", "rv32imac"}


def test_the_budgets_name_every_board_and_model() -> None:
    budgets = read_json(BUDGETS)
    for kind in ("arena_bytes", "instructions"):
        assert {board: set(of) for board, of in budgets[kind].items()} == {
            board: set(MODELS) for board in BUDGETED_BOARDS
        }
