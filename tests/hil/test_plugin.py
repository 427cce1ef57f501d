"""The pytest plugin, tested by running pytest inside pytest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hil.inner import run
from tests.hil.support import DIGITS

pytest_plugins = ["pytester", "tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

PASSING = """
    from exporter.hil.vectors import make_vectors
    from exporter.hil.verify import verify_device
    from exporter.oracle import Oracle

    def test_exact(device, firmware, board):
        assert device.identity.board == board.name == "host"
        assert device.identity.build_id == firmware.build_id
        with Oracle(firmware.compilation.model) as oracle:
            assert verify_device(device, oracle, make_vectors(oracle.inputs, 3)).bit_exact
"""


def test_a_passing_test(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(PASSING)
    result = run(inner, "--nano-board", "host", "--nano-model", small_model)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["nanoexport: board host, *"])
    assert result.ret == 0


def test_a_failing_test(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile("def test_wrong(device):\n    assert device.identity.model_name == 'other'")
    result = run(inner, "--nano-board", "host", "--nano-model", small_model)
    result.assert_outcomes(failed=1)
    assert result.ret == 1


def test_without_a_board_the_test_is_skipped_with_the_reason(inner: pytest.Pytester) -> None:
    inner.makepyfile(PASSING)
    result = run(inner)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no board named: add --nano-board NAME*"])


@pytest.mark.parametrize("option", ["--nano-seed=-1", "--nano-wait=-1", "--nano-wait=nan"])
def test_a_number_that_means_nothing_is_an_error(option: str, inner: pytest.Pytester) -> None:
    """One of these would have made a test wait for ever."""
    inner.makepyfile(PASSING)
    assert run(inner, option).ret == pytest.ExitCode.USAGE_ERROR


def test_an_unknown_board_is_an_error(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(PASSING)
    result = run(inner, "--nano-board", "mps2-an368", "--nano-model", small_model)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    told = result.stdout.str() + result.stderr.str()
    assert "passed" not in told and "skipped" not in told
    assert "unknown board" in told and "mps2-an386" in told


def test_a_port_that_is_absent_is_an_error_never_a_skip(
    inner: pytest.Pytester, small_model: Path
) -> None:
    inner.makepyfile(PASSING)
    result = run(inner, "--nano-board", "host=/dev/ttyNOPE", "--nano-model", small_model)
    result.assert_outcomes(errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*/dev/ttyNOPE is not there*"])


def test_a_board_without_a_model_is_an_error(inner: pytest.Pytester) -> None:
    inner.makepyfile(PASSING)
    result = run(inner, "--nano-board", "host")
    assert result.ret != 0 and "skipped" not in result.parseoutcomes()
    told = result.stdout.str() + result.stderr.str()
    assert "add --nano-model FILE" in told and "plugin.py" not in told


def test_a_model_that_is_broken_is_an_error(inner: pytest.Pytester) -> None:
    inner.makepyfile(PASSING)
    path = inner.path / "broken.tflite"
    path.write_bytes(b"no model")
    result = run(inner, "--nano-board", "host", "--nano-model", path)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*not a TFLite flatbuffer*"])


def test_the_firmware_is_built_once_and_each_test_has_a_fresh_device(
    inner: pytest.Pytester, small_model: Path
) -> None:
    inner.makeconftest(
        """
        import pytest
        from exporter.hil import plugin
        built = []
        original = plugin.firmware_for
        def counted(*arguments, **options):
            built.append(arguments)
            return original(*arguments, **options)
        plugin.firmware_for = counted
        @pytest.fixture(scope="session")
        def builds():
            return built
        """
    )
    inner.makepyfile(
        """
        nonces = set()
        def test_one(device, builds):
            nonces.add(device.identity.boot_nonce)
            assert len(builds) == 1
        def test_two(device, builds):
            nonces.add(device.identity.boot_nonce)
            assert len(builds) == 1 and len(nonces) == 2
        """
    )
    result = run(inner, "--nano-board", "host", "--nano-model", small_model)
    result.assert_outcomes(passed=2)


def test_a_model_fixed_by_the_suite(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makeconftest(
        f"""
        import pathlib, pytest
        @pytest.fixture(scope="session")
        def nano_model():
            return pathlib.Path({str(small_model)!r})
        """
    )
    inner.makepyfile(PASSING)
    run(inner, "--nano-board", "host").assert_outcomes(passed=1)


def test_a_dialect_of_ones_choice(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile("def test_it(device):\n    assert device.identity.dialect == 'litert'")
    options = ("--nano-board", "host", "--nano-model", small_model, "--nano-dialect", "litert")
    run(inner, *options).assert_outcomes(passed=1)


@pytest.mark.parametrize("board", ["host", pytest.param("mps2-an386", marks=pytest.mark.emulator)])
def test_the_digits_example(board: str, inner: pytest.Pytester) -> None:
    """The example's own test, as its README runs it."""
    result = run(inner, DIGITS / "test_digits.py", "--nano-board", board, "--rootdir", DIGITS)
    result.assert_outcomes(passed=3)
