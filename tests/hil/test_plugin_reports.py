"""The pytest plugin: what a run leaves behind, however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from tests.hil.inner import children, outcomes, report, run, started, wait_for
from tests.hil.support import nanoexport, refused
from tests.processes import wait_until_gone

pytest_plugins = ["pytester", "tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

EVERY_OUTCOME = """
    import numpy as np, pytest

    def test_passes(nano_verify):
        nano_verify(3)

    def test_fails(nano_device):
        for pattern in (1, 2):
            nano_device.poison()
            nano_device.write_input(0, np.full(nano_device.inputs[0].shape, pattern, np.int8))
            nano_device.invoke()
        assert nano_device.read_output(0).max() == 1000

    @pytest.fixture
    def broken():
        raise OSError("no such thing")
    def test_errs(nano_device, broken): pass

    def test_skips(nano_device):
        pytest.skip("the moon is full")

    @pytest.mark.xfail(reason="known")
    def test_is_expected_to_fail(nano_device):
        assert False
"""

INFERENCE: dict[str, object] = {
    "number": 0, "kind": "invoke", "poison": None, "inputs": [], "outputs": [], "ticks": None,
}  # fmt: skip
NONSENSE: dict[str, dict[str, object]] = {
    "inference_count": {"inference_count": "many"},
    "test": {"test": None},
    "valid string": {"board": ["host"]},
    "unknown board": {"board": "hots"},
    "valid array": {"inferences": {}},
    "poison": {"inferences": [{**INFERENCE, "poison": 300}]},
    "kind": {"inferences": [{**INFERENCE, "kind": "run"}]},
    "0.input.0": {"inferences": [{**INFERENCE, "inputs": [0]}]},
}
"""By what the refusal says: what a damaged bundle.json may hold."""


def test_a_report_in_json_and_one_for_junit(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(EVERY_OUTCOME)
    result = run(
        inner, "--nano-board", "host", "--nano-model", small_model, "--nano-seed", "7",
        "--nano-json", "run.json", "--junitxml", "junit.xml",
    )  # fmt: skip
    result.assert_outcomes(passed=1, failed=1, errors=1, skipped=1, xfailed=1)
    document = report(inner.path)
    assert outcomes(document) == {
        "test_passes[host-small]": "passed",
        "test_fails[host-small]": "failed",
        "test_errs[host-small]": "error",
        "test_skips[host-small]": "skipped",
        "test_is_expected_to_fail[host-small]": "xfailed",
    }
    assert document["exit_code"] == 1 and not document["interrupted"]
    assert document["collected"] == sum(document["outcomes"].values()) == 5
    messages = {test["outcome"]: test["message"] for test in document["tests"]}
    assert messages["skipped"] == "the moon is full"
    assert "no such thing" in messages["error"]
    for test in document["tests"]:
        assert test["board"] == test["place"] == "host" and test["seed"] == 7
        assert {"build_id", "model_sha256", "dialect", "seconds"} <= set(test)
    properties = junit_properties(inner.path / "junit.xml", "test_passes[host-small]")
    assert properties["nano_place"] == "host" and properties["nano_dialect"] == "tflite"
    assert properties["nano_inferences"] == "3" and int(properties["nano_ticks"]) >= 0
    (passed,) = (test for test in document["tests"] if test["outcome"] == "passed")
    assert properties["nano_build_id"] == passed["build_id"]
    check_bundle(document, result)


def junit_properties(path: Path, name: str) -> dict[str, str]:
    (case,) = (c for c in ElementTree.parse(path).iter("testcase") if c.get("name") == name)
    return {p.get("name", ""): p.get("value", "") for p in case.iter("property")}


def check_bundle(document: dict[str, object], result: pytest.RunResult) -> None:
    """Failed and erring tests leave a bundle, which replays; others do not."""
    tests = document["tests"]
    assert isinstance(tests, list)
    bundles = {t["outcome"]: Path(t["bundle"]) for t in tests if "bundle" in t}
    assert set(bundles) == {"failed", "error"}
    folder = bundles["failed"]
    assert folder.parent.name == "nano-bundles"
    result.stdout.fnmatch_lines([f"*nanoexport replay {folder}"])
    assert "max() == 1000" in (folder / "failure.txt").read_text()
    bundle = json.loads((folder / "bundle.json").read_text())
    assert bundle["seed"] == 7 and bundle["identity"]["build_id"] == bundle["expected"]["build_id"]
    assert [(i["poison"], i["inputs"], i["outputs"]) for i in bundle["inferences"]] == [
        (0xA5, [0], []),
        (0xA5, [0], [0]),
    ]
    with np.load(folder / "vectors.npz") as vectors:
        assert (vectors["1.input.0"] == 2).all()
    replayed = nanoexport("replay", folder, "--json")
    assert replayed.code == 0, replayed.err
    assert "the test failed for another reason" in replayed.err
    assert [(i["as_recorded"], i["as_reference"]) for i in replayed.document["inferences"]] == [
        (None, True),
        (True, True),
    ]
    subprocess.run(["sh", "-n", folder / "replay.sh"], check=True)


def test_a_fault_in_the_firmware_is_found_again_by_the_bundle(
    inner: pytest.Pytester, small_model: Path
) -> None:
    """A weight with a flipped bit: the test fails, its bundle shows the same wrong outputs."""
    inner.makepyfile(
        """
        from tests.hil.support import with_flipped_bit
        import pytest
        @pytest.fixture(scope="session")
        def nano_firmware(nano_firmware, tmp_path_factory):
            folder = tmp_path_factory.mktemp("flipped")
            return with_flipped_bit(nano_firmware, "model_weights_0", folder)
        def test_exact(nano_verify):
            nano_verify(20)
        """
    )
    options = ("--nano-board", "host", "--nano-model", small_model, "--nano-json", "run.json")
    run(inner, *options).assert_outcomes(failed=1)
    (test,) = report(inner.path)["tests"]
    replayed = nanoexport("replay", test["bundle"], "--json")
    refused(replayed, 1, "differ from the host reference")
    inferences = replayed.document["inferences"]
    assert len(inferences) == 16 and replayed.document["inferences_left_out"] == 4
    assert all(inference["as_recorded"] for inference in inferences)
    assert not all(inference["as_reference"] for inference in inferences)


def test_a_bundle_that_says_nothing_or_nonsense(inner: pytest.Pytester, small_model: Path) -> None:
    """One that was left before any inference compares nothing: that is no success."""
    inner.makepyfile("def test_early(device): assert False")
    run(inner, "--nano-board", "host", "--nano-model", small_model)
    (folder,) = (inner.path / "nano-bundles").iterdir()
    refused(nanoexport("replay", folder, "--json"), 1, "could be compared")
    document = json.loads((folder / "bundle.json").read_text())
    for words, change in NONSENSE.items():
        (folder / "bundle.json").write_text(json.dumps(document | change))
        refused(nanoexport("replay", folder, "--json"), 2, words)


@pytest.mark.parametrize("damage", ["bundle.json", "firmware.elf", "vectors.npz", "all"])
def test_what_is_no_bundle_is_refused(damage: str, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text('{"inferences": [], "expected": {}, "board": "host"}')
    for name in ("firmware.elf", "model.tflite"):
        (tmp_path / name).touch()
    np.savez(tmp_path / "vectors.npz")
    if damage == "all":
        refused(nanoexport("replay", tmp_path / "absent", "--json"), 2, "no bundle")
        return
    (tmp_path / damage).unlink()
    refused(nanoexport("replay", tmp_path, "--json"), 2)


def test_bundles_that_cannot_be_written_are_told_and_spoil_nothing(
    inner: pytest.Pytester, small_model: Path
) -> None:
    (inner.path / "file").touch()
    inner.makepyfile("def test_one(device): assert False\ndef test_two(device): pass")
    options = ("--nano-board", "host", "--nano-model", small_model, "--nano-bundles", "file/x")
    result = run(inner, *options)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*cannot write a bundle to*"])


@pytest.mark.emulator
def test_an_interrupted_run_keeps_its_report_and_leaves_no_emulator(
    inner: pytest.Pytester, small_model: Path
) -> None:
    inner.makepyfile(
        """
        import pathlib, time
        def test_done(device):
            pass
        def test_long(device):
            device.write_input(0, __import__("numpy").zeros(device.inputs[0].shape, "int8"))
            device.invoke()
            pathlib.Path("started").touch()
            time.sleep(300)
        def test_never(device):
            pass
        """
    )
    options = ("--nano-board", "mps2-an386", "--nano-model", small_model, "--nano-json", "run.json")
    with started(inner.path, *options) as process:
        try:
            wait_for((inner.path / "started").exists, "the test")
            emulators = children(process.pid)
            assert emulators
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in out
    assert all(wait_until_gone(pid) for pid in emulators)
    document = report(inner.path)
    assert document["interrupted"] and document["exit_code"] == pytest.ExitCode.INTERRUPTED
    assert outcomes(document) == {
        "test_done[mps2-an386-small]": "passed",
        "test_long[mps2-an386-small]": "interrupted",
        "test_never[mps2-an386-small]": "not run",
    }
    (bundle,) = (Path(test["bundle"]) for test in document["tests"] if "bundle" in test)
    assert json.loads((bundle / "bundle.json").read_text())["inference_count"] == 1


def test_a_test_that_is_lost_fails_the_run(inner: pytest.Pytester, small_model: Path) -> None:
    """A plugin that drops a test's reports: without the check the run would be green."""
    inner.makeconftest(
        """
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            return True if "dropped" in item.name else None
        """
    )
    inner.makepyfile("def test_it(device): pass\ndef test_dropped(device): pass")
    options = ("--nano-board", "host", "--nano-model", small_model, "--nano-json", "run.json")
    result = run(inner, *options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["1 collected tests did not finish: *test_dropped*"])
    assert outcomes(report(inner.path))["test_dropped[host-small]"] == "not run"
    assert run(inner, *options, "--collect-only").ret == 0
