"""The pytest plugin: devices and workers that die under a test. No test is lost or passes unrun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hil.eight import VECTORS, drive, storm
from tests.hil.inner import outcomes, report, run
from tests.hil.support import REPOSITORY
from tests.processes import wait_until_gone

pytest_plugins = ["pytester", "tests.hil.fixtures"]

LOSING = """
    import os, signal
    from pathlib import Path
    import numpy as np, pytest
    from exporter.errors import LinkFailed
    from tests.hil.inner import children

    attempts = []

    def lose(device):
        attempts.append(device)
        for child in children(os.getpid()):
            if "firmware.elf" in Path(f"/proc/{child}/cmdline").read_text():
                os.kill(child, signal.SIGKILL)
        device.invoke()

    def test_once(device):
        if not attempts:
            lose(device)
        device.invoke()
        assert len(attempts) == 1

    def test_again_and_again(device):
        lose(device)

    def test_looks_away(device):
        with pytest.raises(LinkFailed):
            lose(device)

    @pytest.mark.nano(repeat=False)
    def test_never_again(device):
        assert len(attempts) == 5
        lose(device)

    def test_as_if_nothing_had_happened(device):
        device.invoke()
        assert len(attempts) == 6
"""


@pytest.fixture
def loss(
    inner: pytest.Pytester, own_cache: Path, small_model: Path
) -> tuple[pytest.Pytester, pytest.RunResult]:
    """A run on seven places in which devices are lost again and again."""
    inner.makepyfile(LOSING)
    inner.makefile(".yaml", pool="places: [{board: host, count: 7}]")
    options = ("--nano-pool", "pool.yaml", "--nano-model", small_model)
    return inner, run(inner, *options, "--nano-json", "run.json", "--junitxml", "junit.xml")


def test_a_lost_device(loss: tuple[pytest.Pytester, pytest.RunResult]) -> None:
    """A test runs again elsewhere, once; what loses its device then is an error, never a pass."""
    inner, result = loss
    result.assert_outcomes(passed=2, errors=3)
    assert result.ret == 1
    document = report(inner.path)
    assert outcomes(document) == {
        "test_once[host-small]": "passed",
        "test_again_and_again[host-small]": "error",
        "test_looks_away[host-small]": "error",
        "test_never_again[host-small]": "error",
        "test_as_if_nothing_had_happened[host-small]": "passed",
    }
    tests = {test["id"].partition("::")[2].partition("[")[0]: test for test in document["tests"]}
    assert tests["test_once"]["repeated"].startswith("ran again on host #2 after host #1 was lost")
    assert "the program that is the board ended" in tests["test_once"]["repeated"]
    assert "bundle" not in tests["test_once"] and "repeated" not in tests["test_never_again"]
    assert [entry["place"] for entry in document["broken_places"]] == [
        f"host #{number}" for number in range(1, 7)
    ]
    assert tests["test_as_if_nothing_had_happened"]["place"] == "host #7"
    bundle = json.loads((Path(tests["test_looks_away"]["bundle"]) / "bundle.json").read_text())
    assert bundle["lost"] and bundle["repetition"].startswith("ran again on")
    junit = (inner.path / "junit.xml").read_text()
    assert 'errors="3" failures="0"' in junit and 'name="nano_repeated"' in junit


def test_when_no_place_is_left_the_rest_is_an_error(
    inner: pytest.Pytester, own_cache: Path, small_model: Path
) -> None:
    inner.makepyfile(LOSING)
    inner.makefile(".yaml", pool="places: [{board: host, count: 1}]")
    options = ("--nano-pool", "pool.yaml", "--nano-model", small_model, "--nano-json", "run.json")
    result = run(inner, *options, "-k", "once or nothing")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*every place with the board host failed*", "*could not run again after host #1 was lost*"]
    )
    tests = report(inner.path)["tests"]
    assert [("bundle" in test, "repeated" in test) for test in tests] == [
        (False, False),
        (True, True),
    ]


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty cache and with locks of its own."""
    for name in ("CACHE", "LOCKS"):
        monkeypatch.setenv(f"NANOEXPORT_{name}", str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return tmp_path


@pytest.mark.emulator
def test_emulators_and_a_worker_are_killed(own_folders: Path) -> None:
    """Three devices, of which one is killed in the middle of a test, and then a worker."""
    drive(own_folders, workers=3, tests=9, emulators=1, seed=1).check(9)


@pytest.mark.long
@pytest.mark.emulator
def test_eight_devices(own_folders: Path) -> None:
    """The show: eight devices, two emulators killed, then a worker."""
    drive(own_folders, workers=8, tests=40, emulators=2, seed=2).check(40)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_kills_at_any_moment(seed: int, own_folders: Path) -> None:
    """While a board starts, is spoken to, is waited for: every test still has its outcome."""
    document = storm(own_folders, workers=3, tests=30, seed=seed, board="host")
    assert document["collected"] == len(document["tests"]) == 30
    for test in document["tests"]:
        assert test["outcome"] in ("passed", "error", "not run"), test
        if test["outcome"] == "passed":
            assert test["identified"] and test["inferences"] == 2 * VECTORS, test
    unfinished = document["outcomes"].get("not run", 0) + document["outcomes"].get("error", 0)
    assert document["exit_code"] == (1 if unfinished else 0)


def test_a_killed_process_leaves_no_lock_and_no_board(
    inner: pytest.Pytester, own_cache: Path, small_model: Path
) -> None:
    """Without xdist: SIGKILL to the whole run; the next one has the place at once."""
    inner.makefile(".yaml", pool="places: [{board: host, count: 1}]")
    inner.makepyfile(
        """
        import os, signal
        from pathlib import Path
        from tests.hil.inner import children
        def test_it(device):
            died = Path("children")
            if not died.exists():
                died.write_text(" ".join(map(str, children(os.getpid()))))
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    options = ("--nano-pool", "pool.yaml", "--nano-model", small_model, "--nano-wait", "30")
    assert run(inner, *options).ret == -9
    orphans = [int(pid) for pid in (inner.path / "children").read_text().split()]
    assert orphans and all(wait_until_gone(pid) for pid in orphans)
    run(inner, *options).assert_outcomes(passed=1)
