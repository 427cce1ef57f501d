"""Negative controls of a pytest run: once for each firmware, and a run that misses one fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hil.inner import report, run

pytest_plugins = ["pytester", "tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

TESTS = """
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_exact(nano_verify, number):
        nano_verify(1)
"""
BLIND = """
    from exporter.hil.controls import base
    from exporter.hil import verify

    verify.compare = base.compare = lambda device, index, expected, found: None
"""


def options(model: Path) -> tuple[object, ...]:
    return "--nano-board", "host", "--nano-model", model, "--nano-json", "run.json"


def test_faults_are_seeded_once_for_all_workers(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(TESTS)
    result = run(inner, *options(small_model), "-n", "2", controls=True)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["controls, host, small: 8 of 8 seeded faults caught (100 %)*"])
    controls = report(inner.path)["controls"]
    (firmware,) = controls["firmware"]
    assert controls["run"] and firmware["detection_rate"] == 1 and firmware["problem"] is None
    assert len(firmware["faults"]) == 8


def test_a_run_that_would_notice_nothing_fails(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(TESTS)
    inner.makeconftest(BLIND)
    result = run(inner, *options(small_model), controls=True)
    result.assert_outcomes(errors=4)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*negative controls of small on host failed*"])
    (firmware,) = report(inner.path)["controls"]["firmware"]
    assert "flipped weight bit" in firmware["problem"] and firmware["detection_rate"] < 1


def test_to_leave_them_out_is_recorded(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile(TESTS)
    result = run(inner, *options(small_model))
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["controls: none, by --nano-no-controls"])
    assert report(inner.path)["controls"] == {
        "run": False,
        "not_run": "by --nano-no-controls",
        "firmware": [],
    }


def test_a_run_without_a_device_does_not_claim_controls(
    inner: pytest.Pytester, small_model: Path
) -> None:
    inner.makepyfile("def test_of_the_host(): pass")
    run(inner, *options(small_model), controls=True).assert_outcomes(passed=1)
    controls = report(inner.path)["controls"]
    assert not controls["run"] and "no test" in controls["not_run"] and not controls["firmware"]


def test_a_budget_is_checked(inner: pytest.Pytester, small_model: Path) -> None:
    inner.makepyfile("""
        import pytest
        from exporter.errors import CheckFailed

        def test_budget(nano_budget, nano_firmware):
            nano_budget("wide.yaml")
            with pytest.raises(CheckFailed, match="arena"):
                nano_budget("narrow.yaml")
    """)
    for name, arena in (("wide", 1_000_000), ("narrow", 1)):
        (inner.path / f"{name}.yaml").write_text(f"default: {{arena_bytes: {arena}}}\n")
    run(inner, *options(small_model)).assert_outcomes(passed=1)
