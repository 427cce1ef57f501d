"""The pytest plugin, tested by running pytest inside pytest."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.hil.support import DIGITS, REPOSITORY
from tests.processes import wait_until_gone

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


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for the inner run, which finds the checkout and the plugin."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def run(inner: pytest.Pytester, *arguments: object) -> pytest.RunResult:
    """Pytest in a process of its own; `-p` is harmless where the plugin is also an entry point."""
    plugin = ("-p", "exporter.hil.plugin") if not installed() else ()
    words = map(str, (*plugin, "-p", "no:cacheprovider", "-ra", *arguments))
    return inner.runpytest_subprocess(*words, timeout=120)


def installed() -> bool:
    """Whether pytest finds the plugin by its entry point."""
    return any(point.value == "exporter.hil.plugin" for point in entry_points(group="pytest11"))


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


def test_an_unknown_board_is_an_error(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(PASSING)
    result = run(inner, "--nano-board", "mps2-an368", "--nano-model", small_model)
    assert result.ret != 0
    assert "passed" not in result.parseoutcomes() and "skipped" not in result.parseoutcomes()
    told = result.stdout.str() + result.stderr.str()
    assert "unknown board" in told and "mps2-an386" in told


def test_a_port_that_is_absent_is_an_error_never_a_skip(
    inner: pytest.Pytester, small_model: Path
) -> None:
    inner.makepyfile(PASSING)
    result = run(
        inner, "--nano-board", "host", "--nano-port", "/dev/ttyNOPE", "--nano-model", small_model
    )
    result.assert_outcomes(errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*/dev/ttyNOPE is not there*"])


def test_a_board_without_a_model_is_an_error(inner: pytest.Pytester) -> None:
    inner.makepyfile(PASSING)
    result = run(inner, "--nano-board", "host")
    assert result.ret != 0 and "skipped" not in result.parseoutcomes()
    assert "add --nano-model FILE" in result.stdout.str() + result.stderr.str()


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


@pytest.mark.emulator
def test_an_interrupted_run_leaves_no_emulator(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(
        """
        import pathlib, time
        def test_long(device):
            pathlib.Path("started").touch()
            time.sleep(60)
        """
    )
    plugin = () if installed() else ("-p", "exporter.hil.plugin")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider",
            "--nano-board", "mps2-an386", "--nano-model", str(small_model),
        ],
        cwd=inner.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        try:
            _wait_for(inner.path / "started")
            emulators = children(process.pid)
            assert emulators
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in out
    assert all(wait_until_gone(pid) for pid in emulators)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Process ids of the direct children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@pytest.mark.parametrize("board", ["host", pytest.param("mps2-an386", marks=pytest.mark.emulator)])
def test_the_digits_example(board: str, inner: pytest.Pytester) -> None:
    """The example's own test, as its README runs it."""
    result = run(inner, DIGITS / "test_digits.py", "--nano-board", board, "--rootdir", DIGITS)
    result.assert_outcomes(passed=3)
