"""A project on disk: whose files are whose, and what a failed or repeated write leaves behind."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.errors import BadInput
from exporter.render.project import MANIFEST, Project, render_project, write_project
from tests.render.programs import small_program


@pytest.fixture(scope="module")
def project() -> Project:
    return render_project(small_program(), load_board("host"), app="hil", toolchain="gcc")


@pytest.fixture(scope="module")
def other() -> Project:
    """Another application: fewer files."""
    return render_project(small_program(), load_board("host"), app="standalone", toolchain="gcc")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_everything_is_written_and_listed(project: Project, tmp_path: Path) -> None:
    write_project(project, tmp_path / "new" / "folder")
    found = tree(tmp_path / "new" / "folder")
    assert set(found) == {*project.files, MANIFEST}
    manifest = json.loads(found[MANIFEST])
    assert set(manifest["files"]) == set(project.files)
    assert all(found[path].decode() == text for path, text in project.files.items())


def test_again_leaves_an_identical_tree(project: Project, tmp_path: Path) -> None:
    write_project(project, tmp_path)
    before = tree(tmp_path)
    write_project(project, tmp_path)
    assert tree(tmp_path) == before


def test_stale_files_are_removed(project: Project, other: Project, tmp_path: Path) -> None:
    write_project(project, tmp_path / "a")
    write_project(other, tmp_path / "a")
    write_project(other, tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b") != {}
    assert set(project.files) - set(other.files)


def test_the_build_folder_is_left_alone(project: Project, tmp_path: Path) -> None:
    write_project(project, tmp_path)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "firmware.elf").write_bytes(b"elf")
    write_project(project, tmp_path)
    assert (tmp_path / "build" / "firmware.elf").read_bytes() == b"elf"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", "app/main2.c", ".git/config"])
def test_foreign_files_are_refused_even_by_force(
    project: Project, tmp_path: Path, name: str, force: bool
) -> None:
    write_project(project, tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(BadInput, match="did not write") as caught:
        write_project(project, tmp_path, force=force)
    assert caught.value.value == name and tree(tmp_path) == before


def test_a_folder_of_somebody_else_is_refused(project: Project, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("mine")
    with pytest.raises(BadInput, match="did not write") as caught:
        write_project(project, tmp_path)
    assert caught.value.value == "0.txt, 1.txt, 2.txt ..." and len(tree(tmp_path)) == 5


def test_a_file_in_place_of_the_folder_is_refused(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("mine")
    with pytest.raises(BadInput, match="the output is a file"):
        write_project(project, path)
    assert path.read_text() == "mine"


def test_edited_files_are_refused_but_by_force(project: Project, tmp_path: Path) -> None:
    write_project(project, tmp_path)
    original = tree(tmp_path)
    (tmp_path / "model" / "model.c").write_text("// better\n")
    edited = tree(tmp_path)
    with pytest.raises(BadInput, match="were edited") as caught:
        write_project(project, tmp_path)
    assert caught.value.value == "model/model.c" and "--force" in str(caught.value.next_step)
    assert tree(tmp_path) == edited
    write_project(project, tmp_path, force=True)
    assert tree(tmp_path) == original


def test_missing_files_come_back(project: Project, tmp_path: Path) -> None:
    write_project(project, tmp_path)
    original = tree(tmp_path)
    (tmp_path / "model" / "model.c").unlink()
    write_project(project, tmp_path)
    assert tree(tmp_path) == original


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', '{"files": {"a": 1}}', "null"])
def test_a_broken_manifest_makes_all_files_foreign(
    project: Project, tmp_path: Path, text: str
) -> None:
    write_project(project, tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(BadInput, match="did not write"):
        write_project(project, tmp_path)


@pytest.mark.parametrize("path", ["../victim", "model/../../victim", "ABSOLUTE"])
def test_a_manifest_reaches_nothing_outside_its_folder(
    project: Project, tmp_path: Path, path: str
) -> None:
    """A project from elsewhere must not make a new rendering remove files of its user."""
    victim, folder = tmp_path / "victim", tmp_path / "project"
    victim.write_text("mine")
    write_project(project, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][str(victim) if path == "ABSOLUTE" else path] = "0" * 64
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with contextlib.suppress(BadInput):
        write_project(project, folder, force=True)
    assert victim.read_text() == "mine"


# --- writes that fail ----------------------------------------------------------------------------


@pytest.fixture(params=[0, 1, 5, -1], ids=lambda n: f"write {n} fails")
def failing_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The n-th file cannot be written: the disk is full in the middle of it."""
    written = 0
    real = Path.write_text
    fails_at = request.param

    def write_text(path: Path, text: str, **options: str) -> int:
        nonlocal written
        written += 1
        if written - 1 == fails_at or (fails_at == -1 and MANIFEST in path.name):
            real(path, text[: len(text) // 2], **options)
            raise OSError(28, "No space left on device")
        return real(path, text, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", write_text)
        yield


def test_a_failed_first_write_leaves_nothing(
    project: Project, tmp_path: Path, failing_disk: None
) -> None:
    folder = tmp_path / "new"
    with pytest.raises(BadInput, match="cannot write the project") as caught:
        write_project(project, folder)
    assert caught.value.value == "No space left on device"
    assert not folder.exists() or not tree(folder)


def test_a_failed_rewrite_leaves_the_earlier_project(
    project: Project, other: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(other, tmp_path)
    before = tree(tmp_path)
    real = Path.write_text
    count = 0

    def write_text(path: Path, text: str, **options: str) -> int:
        nonlocal count
        count += 1
        if count == 8:
            raise OSError(28, "No space left on device")
        return real(path, text, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", write_text)
        with pytest.raises(BadInput, match="cannot write the project"):
            write_project(project, tmp_path)
    assert tree(tmp_path) == before
    write_project(project, tmp_path)
    assert set(tree(tmp_path)) == {*project.files, MANIFEST}


def test_a_folder_that_cannot_be_made(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput):
        write_project(project, tmp_path / "file" / "below")
    assert tree(tmp_path) == {"file": b"mine"}


# --- identity ------------------------------------------------------------------------------------


def test_the_build_id_depends_on_everything(project: Project, other: Project) -> None:
    board = load_board("host")
    same = render_project(small_program(), board, app="hil", toolchain="gcc")
    assert same.build_id == project.build_id and len(project.build_id) == 64
    assert int(project.build_id, 16) >= 0
    variants = [
        other,
        render_project(small_program(1), board, app="hil", toolchain="gcc"),
        render_project(
            replace(small_program(), optimize="size"), board, app="hil", toolchain="gcc"
        ),
        render_project(small_program(), board, app="hil", toolchain="gcc", prefix="net"),
        render_project(
            replace(small_program(), model_sha256="0" * 64), board, app="hil", toolchain="gcc"
        ),
    ]
    assert len({project.build_id, *(variant.build_id for variant in variants)}) == 6


def test_a_project_names_no_folder_of_this_machine(project: Project) -> None:
    root = str(Path(__file__).resolve().parents[2])
    text = json.dumps(project.manifest) + "".join(project.files.values())
    assert root not in text and str(Path.home()) + "/" not in text
