"""The four models on every emulated board: within their budgets, and better than the baseline."""

from __future__ import annotations

import pytest

from exporter.board import load_board
from exporter.hil.cycles import has_model
from tests.benchmarks.measure import (
    MODELS,
    SHARED_MODELS,
    SIZE_BOARD,
    TOLERANCE,
    Figures,
    Measurement,
    arena_bytes,
    emulated_boards,
    measure,
    read_budgets,
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


def over_budget(figures: Figures, budget: Figures) -> dict[str, tuple[int, int]]:
    """Figures that exceed their budget, with it; those of bytes of arena are exact."""
    return {
        name: (figures[name], allowed)
        for name, allowed in budget.items()
        if figures[name] > allowed * (1 + TOLERANCE)
    }


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("board", emulated_boards())
def test_the_arena(board: str, model: str) -> None:
    """Exact: a plan that changes is looked at."""
    assert arena_bytes(model, board) == read_budgets()["boards"][board][model]["arena_bytes"], (
        UPDATE
    )


@pytest.mark.emulator
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("board", emulated_boards())
def test_the_budget(board: str, model: str) -> None:
    measured = measure(model, board)
    budget = read_budgets()["boards"][board][model]
    assert set(measured.figures) == set(budget), UPDATE
    assert not over_budget(measured.figures, budget), UPDATE
    assert_consistent(measured)
    if board == "riscv32-virt":
        assert measured.figures["instructions"] <= riscv_target(measured)


@pytest.mark.emulator
@pytest.mark.parametrize("model", MODELS)
def test_the_budget_of_size(model: str) -> None:
    measured = measure(model, SIZE_BOARD, "size")
    budget = read_budgets()["size"][model]
    assert set(measured.figures) == set(budget), UPDATE
    assert not over_budget(measured.figures, budget), UPDATE
    assert_consistent(measured)


def assert_consistent(measured: Measurement) -> None:
    """Layers make up the whole; memory is no more than the baseline's."""
    result, baseline = measured.result, measured.baseline
    assert result.instructions is not None
    layers = sum(layer.instructions or 0 for layer in result.layers)
    assert layers == pytest.approx(result.instructions, rel=0.02)
    if result.cycles is not None:
        assert sum(result.cycles.layers) == pytest.approx(result.cycles.cycles, rel=0.02)
    assert measured.firmware.footprint.static_ram_bytes <= baseline.static_ram_bytes
    assert measured.figures["arena_bytes"] <= baseline.arena_bytes


def riscv_target(measured: Measurement) -> float:
    """The most instructions on riscv32-virt."""
    if measured.model == "ad01_int8":
        return RISCV_AD_INSTRUCTIONS
    baseline = measured.baseline.instructions
    assert baseline is not None
    return baseline * RISCV_SHARE


def test_the_budgets_name_every_board_and_model() -> None:
    budgets = read_budgets()
    assert list(budgets["boards"]) == emulated_boards()
    for board, models in budgets["boards"].items():
        assert set(models) == set(MODELS)
        kinds = {"instructions", "arena_bytes", "flash_bytes"}
        kinds |= {"modelled_cycles"} if has_model(load_board(board)) else set()
        assert all(set(figures) == kinds for figures in models.values())
    assert set(budgets["size"]) == set(MODELS)
    assert all("modelled_cycles" in figures for figures in budgets["size"].values())


def test_what_exceeds_a_budget() -> None:
    budget = {"instructions": 1000, "flash_bytes": 100}
    assert not over_budget({"instructions": 1010, "flash_bytes": 101}, budget)
    assert over_budget({"instructions": 1011, "flash_bytes": 102}, budget) == {
        "instructions": (1011, 1000),
        "flash_bytes": (102, 100),
    }
