"""`--forbid-skips` turns a run red that skipped a test for want of something."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = """
    import pytest

    def test_passes(): pass

    @pytest.mark.skipif(True, reason="needs QEMU")
    def test_tool(): pass

    def test_model(): pytest.skip("needs ../shared/models")

    @pytest.mark.xfail(strict=True)
    def test_expected_failure(): assert False
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of its own with the same conftest.py, where ../shared/models is absent."""
    folder = pytester.mkdir("tests")
    conftest = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    pytester.makepyfile(**{"tests/test_skips": TESTS})
    return pytester


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_forbidden_skip_fails_the_run(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result = project.runpytest_subprocess("--forbid-skips", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["allowed *1  needs ../shared/models", "FORBIDDEN *1  needs QEMU"])


def test_allowed_skips_do_not(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--forbid-skips", "-k", "not tool")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("FORBIDDEN*")


def test_a_skip_is_no_failure_without_the_option(project: pytest.Pytester) -> None:
    assert project.runpytest_subprocess().ret == pytest.ExitCode.OK
