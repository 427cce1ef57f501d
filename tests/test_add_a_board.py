"""docs/add_a_board.md, followed to the letter."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.board import board_names, load_board, read_board
from tests.hil.support import forget_boards, nanoexport, refused, spawned

pytest_plugins = ["tests.hil.fixtures"]

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "add_a_board.md"
BOARD = "feather-stm32f405"
FILE = f"{BOARD}.yaml"


def blocks() -> Iterator[str]:
    """The indented blocks of the guide, in order."""
    text = GUIDE.read_text(encoding="utf-8")
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE):
        if block.strip():
            yield "".join(
                line.removeprefix("    ") + "\n" for line in block.strip("\n").split("\n")
            )


def commands() -> list[list[str]]:
    """What the guide has a person type."""
    lines = [line for block in blocks() for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("nanoexport ")]


def board_file() -> str:
    """The whole file that the guide shows."""
    (text,) = [block for block in blocks() if block.startswith("name: ")]
    return text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: Path) -> Iterator[Path]:
    """A folder with a model and the board's file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.tflite").write_bytes(small_model.read_bytes())
    (tmp_path / FILE).write_text(board_file(), encoding="utf-8")
    yield tmp_path
    forget_boards()


@pytest.mark.toolchain
@pytest.mark.emulator
@pytest.mark.usefixtures("own_cache")
def test_the_guide_step_by_step(here: Path) -> None:
    followed = []
    for _, command, *arguments in commands():
        if "--port" in arguments:
            continue  # step 5 takes the board in the hand
        if ">" in arguments:
            run = nanoexport(command, *arguments[: arguments.index(">")])
            template = here / f"{arguments[1]}.yaml"
            template.write_text(run.out, encoding="utf-8")
            assert read_board(template) == load_board(arguments[1])
        else:
            run = nanoexport(command, *arguments)
        assert run.code == 0, run.err
        followed.append(command)
    assert followed == ["boards", "boards", "inspect", "verify", "render", "build", "flash"]
    assert (here / "firmware" / FILE).read_text("utf-8") == board_file()
    (here / FILE).unlink()
    later = spawned("build", here / "firmware", "--json")
    assert later.document["board"] == BOARD, "a project carries its board's file"


@pytest.mark.long
@pytest.mark.toolchain
@pytest.mark.emulator
def test_the_record_of_a_failed_test_carries_its_board(here: Path, inner: pytest.Pytester) -> None:
    test = (
        "import numpy as np\n"
        "def test_fails(nano_device):\n"
        "    nano_device.write_input(0, np.zeros(nano_device.inputs[0].shape, np.int8))\n"
        "    nano_device.invoke()\n"
        "    assert False\n"
    )
    inner.makepyfile(test_mine=test)
    arguments = ("--nano-board", here / FILE, "--nano-model", here / "my.tflite")
    inner.runpytest_subprocess(*arguments, "--nano-no-controls").assert_outcomes(failed=1)
    (here / FILE).unlink()
    (bundle,) = (inner.path / "nano-bundles").iterdir()
    assert spawned("replay", bundle).code == 0


@pytest.mark.parametrize(
    ("right", "wrong", "allowed"),
    [
        ("driver: stm32f4_clock", "driver: stm32f5_clock", "stm32f4_clock"),
        ("platform: cortex_m", "platform: cortex_a", "cortex_m, "),
    ],
)
def test_what_a_file_names_must_be_there(here: Path, right: str, wrong: str, allowed: str) -> None:
    (here / FILE).write_text(board_file().replace(right, wrong), encoding="utf-8")
    render = ("render", "my.tflite", "--board", FILE, "-o", "firmware")
    for command in (("boards", FILE), render):
        run = nanoexport(*command, "--json")
        error = refused(run, 2, "does not exist", wrong.partition(": ")[2])
        assert allowed in str(error["allowed"])


def test_the_error_that_the_guide_shows(here: Path) -> None:
    (shown,) = [block for block in blocks() if block.startswith("error: ")]
    text = board_file().replace("receive_ring_bytes: 2048", "receive_ring_bytes: 2000")
    (here / FILE).write_text(text, encoding="utf-8")
    run = nanoexport("boards", FILE)
    assert run.code == 2
    assert run.err.startswith(shown)


def test_the_guide_adds_what_is_not_there() -> None:
    supplied = {path.stem for path in (GUIDE.parent.parent / "boards").glob("*.yaml")}
    assert BOARD not in supplied and supplied <= set(board_names())
