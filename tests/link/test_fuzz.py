"""100,000 inputs of libFuzzer on the C side; `python -m tests.link.fuzz` is 10 million."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.link import fuzz
from tests.link.build import RUNTIME

pytestmark = pytest.mark.toolchain


@pytest.fixture(autouse=True)
def compiler() -> None:
    if shutil.which(fuzz.COMPILER) is None:
        pytest.skip(f"{fuzz.COMPILER} is not installed")


@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_a_hundred_thousand_inputs_find_nothing(target: str, tmp_path: Path) -> None:
    told = fuzz.fuzz(fuzz.build(target, tmp_path), inputs=100_000, seconds=120, seed=1)
    assert "no finding" in told


@pytest.mark.parametrize(
    ("target", "name", "right", "wrong"),
    [
        ("frames", "frames.c", "decoder->size == decoder->capacity", "decoder->size > 4000"),
        ("link", "link.c", "= header.sequence;", "= (uint16_t)(header.sequence - 1u);"),
    ],
)
def test_a_defect_is_found(
    target: str, name: str, right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = next(path for path in RUNTIME if path.name == name)
    text = sound.read_text()
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong))
    sources = [tmp_path / name if path == sound else path for path in fuzz.TARGETS[target]]
    monkeypatch.setitem(fuzz.TARGETS, target, sources)
    with pytest.raises(AssertionError, match=r"AddressSanitizer|deadly signal"):
        fuzz.fuzz(fuzz.build(target, tmp_path), inputs=1_000_000, seconds=60, seed=1)
