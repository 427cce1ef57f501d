"""The pytest plugin: on which boards, places and models a test runs, and under which names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exporter.hil.locks import port_key, try_lock
from tests.hil.inner import outcomes, plugin_arguments, report, run

pytest_plugins = ["pytester", "tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")


def test_every_test_runs_on_every_board_with_every_model(
    inner: pytest.Pytester, small_model: Path, other_model: Path
) -> None:
    inner.makepyfile(
        """
        def test_board(nano_board):
            assert nano_board.name in ("host", "mps2-an386")
        def test_both(nano_board, nano_model):
            assert nano_model.is_file()
        def test_neither():
            pass
        """
    )
    options = ("--nano-board", "host", "--nano-board", "mps2-an386", "--nano-json", "run.json")
    models = ("--nano-model", small_model, "--nano-model", other_model)
    assert run(inner, *options, *models).ret == 0
    assert outcomes(report(inner.path)) == {
        "test_board[host]": "passed",
        "test_board[mps2-an386]": "passed",
        "test_both[host-small]": "passed",
        "test_both[host-other]": "passed",
        "test_both[mps2-an386-small]": "passed",
        "test_both[mps2-an386-other]": "passed",
        "test_neither": "passed",
    }


def test_a_marker_fixes_board_and_model(inner: pytest.Pytester, small_model: Path) -> None:
    """Also where the command line names none, or others; files are beside the test."""
    shutil.copy(small_model, inner.path / "mine.tflite")
    inner.makepyfile(
        """
        import pytest
        @pytest.mark.nano(boards=["host"], models=["mine.tflite"])
        def test_fixed(nano_device, nano_model):
            assert nano_device.identity.board == "host" and nano_model.name == "mine.tflite"
        """
    )
    run(inner, "--nano-board", "mps2-an386", "--nano-model", "absent.tflite").assert_outcomes(
        passed=1
    )


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("boards=['mps2-an368']", "unknown board"),
        ("board=['host']", "does not take board"),
        ("'host'", "does not take 'host'"),
        ("models='mine.tflite'", "is a list of names"),
    ],
)
def test_a_marker_with_an_error(marker: str, words: str, inner: pytest.Pytester) -> None:
    inner.makepyfile(f"import pytest\n@pytest.mark.nano({marker})\ndef test_it(nano_device): pass")
    result = inner.runpytest_inprocess(*plugin_arguments())
    assert result.ret == pytest.ExitCode.INTERRUPTED and words in result.stdout.str()
    assert "passed" not in result.parseoutcomes()


def test_short_names_are_aliases_that_a_suite_may_shadow(
    inner: pytest.Pytester, small_model: Path
) -> None:
    inner.makepyfile(
        test_aliases="""
        def test_it(board, firmware, device, nano_board, nano_firmware, nano_device):
            assert board is nano_board and firmware is nano_firmware and device is nano_device
        """,
        test_shadowed="""
        import pytest
        @pytest.fixture
        def board():
            return "a chess board"
        @pytest.fixture
        def device():
            return "a stratagem"
        def test_it(board, device, nano_device, nano_firmware):
            assert board == "a chess board" and device == "a stratagem"
            assert nano_device.identity.build_id == nano_firmware.build_id
        """,
    )
    run(inner, "--nano-board", "host", "--nano-model", small_model).assert_outcomes(passed=2)


def test_a_pool_gives_the_boards_and_the_places(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makefile(".yaml", pool="places: [{board: host, count: 1}]")
    inner.makepyfile("def test_it(nano_verify):\n    assert nano_verify(2).vectors == 2")
    options = ("--nano-pool", "pool.yaml", "--nano-model", small_model, "--nano-json", "run.json")
    run(inner, *options).assert_outcomes(passed=1)
    (test,) = report(inner.path)["tests"]
    assert test["place"] == "host #1" and test["inferences"] == 2


def test_a_place_that_another_run_has_is_waited_for_and_its_holder_named(
    inner: pytest.Pytester, small_model: Path, tmp_path: Path
) -> None:
    port = tmp_path / "ttyACM0"
    port.touch()
    lock = try_lock(port_key(str(port)))
    assert lock is not None
    inner.makepyfile("def test_it(nano_device): pass")
    options = ("--nano-board", f"host={port}", "--nano-model", small_model, "--nano-wait", "0.5")
    result = run(inner, *options)
    lock.release()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no place became free within 0.5 s*", "*is held by pid*(*"])


def test_an_absent_place_is_an_error_and_the_others_go_on(
    inner: pytest.Pytester, small_model: Path, tmp_path: Path
) -> None:
    """The first test meets it and is an error; what comes after runs where there is a board."""
    inner.makepyfile("def test_one(nano_device): pass\ndef test_two(nano_device): pass")
    inner.makefile(
        ".yaml", pool=f"places: [{{board: host, port: {tmp_path / 'ttyNOPE'}}}, {{board: host}}]"
    )
    options = ("--nano-pool", "pool.yaml", "--nano-model", small_model, "--nano-json", "run.json")
    result = run(inner, *options)
    result.assert_outcomes(errors=1, passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*used no more: host on *ttyNOPE: the port * is not there"])
    (broken,) = report(inner.path)["broken_places"]
    assert "ttyNOPE" in broken["place"]


def test_another_unit_than_the_pool_says_is_an_error(
    inner: pytest.Pytester, small_model: Path
) -> None:
    """`--nano-board host=PORT` and a chip: shown with a native process behind a TCP port."""
    inner.makepyfile(
        """
        from exporter.flash import NativeProcess
        from exporter.hil.pool import DevicePool, Place
        import pytest
        @pytest.fixture(scope="session")
        def nano_pool(nano_firmware):
            with NativeProcess(nano_firmware.firmware.elf) as process:
                yield DevicePool([Place("host", process.port, "0042001e")])
        def test_it(nano_device): pass
        """
    )
    result = run(inner, "--nano-board", "host", "--nano-model", small_model)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*this is another unit*", "*allowed:*chip_id 0042001e*"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--nano-board", "host="), "the port is missing"),
        (("--nano-pool", "absent.yaml"), "absent.yaml"),
        (("--nano-board", "host", "--nano-json", "absent/run.json"), "absent/run.json"),
        (("--nano-board", "host=/dev/null", "--nano-board", "host=/dev/../dev/null"), "one port"),
    ],
)
def test_options_with_an_error(
    options: tuple[str, ...], words: str, inner: pytest.Pytester
) -> None:
    inner.makepyfile("def test_it(nano_device): pass")
    result = inner.runpytest_inprocess(*plugin_arguments(), *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
