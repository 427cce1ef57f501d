"""The firmware cache: equal inputs hit, others miss, and no process ever sees half a build."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build import compile as compilation
from exporter.build import firmware
from exporter.build.firmware import ModelFirmware, Settings, cache_folder, firmware_for
from exporter.errors import BadInput, CheckFailed
from tests.passes.models import Model


def _model(seed: int = 0) -> bytes:
    model = Model(seed)
    return model.finish([model.x], [model.conv(model.x)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(_model())
    return path


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were really built."""
    built: list[Path] = []

    def build(folder: Path) -> compilation.Firmware:
        built.append(folder)
        return compilation.build(folder)

    monkeypatch.setattr(firmware, "build", build)
    return built


def _firmware(model: Path, cache: Path, **settings: str) -> ModelFirmware:
    chosen = Settings(optimize=settings.get("optimize", "speed"))
    return firmware_for(model, load_board("host"), chosen, cache=cache)


def test_a_second_time_is_a_hit(model: Path, tmp_path: Path, builds: list[Path]) -> None:
    first = _firmware(model, tmp_path / "cache")
    second = _firmware(model, tmp_path / "cache")
    assert len(builds) == 1
    assert first.firmware.elf == second.firmware.elf and first.build_id == second.build_id
    assert first.image == second.image and first.footprint == second.footprint


def test_another_model_or_goal_is_a_miss(model: Path, tmp_path: Path, builds: list[Path]) -> None:
    cache = tmp_path / "cache"
    other = tmp_path / "other.tflite"
    other.write_bytes(_model(1))
    made = [_firmware(model, cache), _firmware(model, cache, optimize="size")]
    made.append(_firmware(other, cache))
    assert len(builds) == len({each.build_id for each in made}) == 3


def test_another_compiler_is_a_miss(
    model: Path, tmp_path: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = _firmware(model, cache)
    monkeypatch.setattr("exporter.toolchain.identity", lambda *_: "gcc 99.1")
    assert _firmware(model, cache).build_id != first.build_id and len(builds) == 2


@pytest.mark.parametrize("error", [CheckFailed("no"), KeyboardInterrupt(), RuntimeError("x")])
def test_an_interrupted_build_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    cache = tmp_path / "cache"

    def build(folder: Path) -> None:
        (folder / "build").mkdir()
        (folder / "build" / "firmware.elf").write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(firmware, "build", build)
        with pytest.raises(type(error)):
            _firmware(model, cache)
    left = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not left
    assert _firmware(model, cache).firmware.elf.read_bytes()[:4] == b"\x7fELF"


def test_what_a_killed_build_left_is_not_used(
    model: Path, tmp_path: Path, builds: list[Path]
) -> None:
    """A folder without its mark of completion is built again."""
    cache = tmp_path / "cache"
    made = _firmware(model, cache)
    (made.firmware.project / "complete").unlink()
    made.firmware.elf.write_bytes(b"half")
    assert _firmware(model, cache).firmware.elf.read_bytes()[:4] == b"\x7fELF"
    assert len(builds) == 2


def _build_in_process(model: Path, cache: Path, gate: str, results: str, number: int) -> None:
    while not Path(gate).exists():
        pass
    made = _firmware(model, cache)
    built = sorted(path.name for path in made.firmware.project.parent.iterdir())
    Path(results, str(number)).write_text(f"{made.firmware.elf.stat().st_mtime_ns} {built}")


def test_two_processes_build_once(model: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    gate, results, cache = tmp_path / "gate", tmp_path / "results", tmp_path / "cache"
    results.mkdir()
    processes = [
        context.Process(
            target=_build_in_process, args=(model, cache, str(gate), str(results), number)
        )
        for number in range(2)
    ]
    for process in processes:
        process.start()
    gate.touch()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0
    reports = {path.read_text().split()[0] for path in results.iterdir()}
    assert len(reports) == 1, "the second process built again"
    homes = [path for path in (cache / "firmware").iterdir() if path.suffix != ".lock"]
    assert len(homes) == 1


def test_the_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("NANOEXPORT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "nanoexport"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "nanoexport"


def test_a_cache_that_cannot_be_used_is_bad_input(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="firmware cache") as caught:
        _firmware(model, tmp_path / "file")
    assert "NANOEXPORT_CACHE" in str(caught.value.next_step) and os.sep in caught.value.what
