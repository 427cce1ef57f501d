"""Every stage from the command line, one after the other, as a user runs them."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from exporter import passes
from exporter.board import load_board
from exporter.build.compile import Firmware
from exporter.build.firmware import Settings, firmware_for
from exporter.build.identity import NO_BUILD_ID, elf_build_id
from exporter.flash import RunningBoard, start
from exporter.graph.tflite_reader import read_file
from exporter.render.environment import templates_sha256
from tests.hil.support import DIGITS, background, nanoexport, refused
from tests.processes import wait_until_gone

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

PATIENCE_SECONDS = 60.0
EMULATED = pytest.param("mps2-an386", marks=pytest.mark.emulator)
BOARDS = ["host", EMULATED]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's network, converted on the command line."""
    target = tmp_path_factory.mktemp("digits") / "digits.tflite"
    run = nanoexport(
        "convert", DIGITS / "digits.keras", "--data", DIGITS / "calibration.npz",
        "-o", target, "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert run.document["output"] == str(target)
    assert [path.name for path in target.parent.iterdir()] == ["digits.tflite"]
    return target


def render(model: Path, folder: Path, board: str, *more: str) -> Path:
    """A rendered project."""
    run = nanoexport("render", model, "--board", board, "-o", folder, "--json", *more)
    assert run.code == 0, run.err
    assert run.document["board"] == board
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """Every file below `folder`, without `build`."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "build"
    }


# --- inspect -------------------------------------------------------------------------------------


def test_inspect_shows_every_layer(digits: Path) -> None:
    document = nanoexport("inspect", digits, "--json").document
    kinds = [layer["op"] for layer in document["layers"]]
    assert kinds.count("CONV_2D") >= 2 and kinds[-1] == "SOFTMAX"


def test_inspect_for_a_board_shows_the_plan(digits: Path) -> None:
    run = nanoexport("inspect", digits, "--board", "mps2-an386", "--json")
    document = run.document
    assert 0 < document["arena_bytes"] <= 4096 and document["weights_bytes"] > 0
    assert document["peak_layer"] in [layer["index"] for layer in document["layers"]]
    told = [line for line in run.err.splitlines() if line.startswith("arena ")]
    assert f"{document['arena_bytes']:,} bytes of" in told[0] and " in layer" in told[0]
    assert f"about {document['code_bytes_estimated']:,} bytes" in run.err
    the_map = document["memory_map"]
    assert document["scratch_bytes"] == max(
        (b["bytes"] for b in the_map["buffers"] if b["kind"] == "scratch"), default=0
    )
    for buffer in the_map["buffers"]:
        assert f" {buffer['name']}" in run.err


def test_inspect_draws_the_memory_map(digits: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.svg"
    run = nanoexport("inspect", digits, "--board", "mps2-an386", "--svg", picture, "--json")
    assert run.document["svg"] == str(picture)
    assert ElementTree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    nowhere = tmp_path / "missing" / "map.svg"
    board = ("--board", "mps2-an386")
    refused(nanoexport("inspect", digits, *board, "--svg", nowhere, "--json"), 2, str(nowhere))
    refused(nanoexport("inspect", digits, "--svg", picture, "--json"), 2, "--board")


@pytest.mark.parametrize("stage", ["read", *passes.names(), "plan"])
def test_a_dump_after_each_stage_is_text_that_diffs(stage: str, digits: Path) -> None:
    first = nanoexport("inspect", digits, "--dump-after", stage)
    second = nanoexport("inspect", digits, "--dump-after", stage)
    assert first.code == 0 and first.out == second.out
    assert first.out.count("\n") > 8 and "CONV_2D" in first.out
    as_json = nanoexport("inspect", digits, "--dump-after", stage, "--json").document
    assert as_json["dump"].strip() == first.out.strip()


def test_a_dump_after_no_such_pass(digits: Path) -> None:
    run = nanoexport("inspect", digits, "--dump-after", "magic", "--json")
    refused(run, 2, "magic", *passes.names(), "plan")


def test_a_pass_can_be_left_out(digits: Path) -> None:
    stages = ("remove_unused", "remove_identities", "fuse_pad")
    left_out = nanoexport("inspect", digits, "--dump-after", stages[2], "--without", stages[2])
    before = nanoexport("inspect", digits, "--dump-after", stages[1])
    assert left_out.code == 0 and left_out.out == before.out
    for where in (("--dump-after", "plan"), ("--board", "host")):
        run = nanoexport("inspect", digits, *where, "--without", "magic", "--json")
        refused(run, 2, "magic", *stages)


# --- render and build ----------------------------------------------------------------------------


@pytest.mark.parametrize("board", BOARDS)
def test_rendering_twice_gives_the_same_bytes(board: str, digits: Path, tmp_path: Path) -> None:
    one = hashes(render(digits, tmp_path / "one", board))
    assert hashes(render(digits, tmp_path / "two", board)) == one
    assert hashes(render(digits, tmp_path / "one", board)) == one, "over itself"


def test_a_project_names_no_machine(digits: Path, tmp_path: Path) -> None:
    folder = render(digits, tmp_path / "project", "host")
    for path in folder.rglob("*"):
        if path.is_file():
            assert (
                str(tmp_path) not in path.read_text() and str(Path.home()) not in path.read_text()
            )


def test_a_foreign_folder_is_refused(digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("It was a dark and stormy night.")
    run = nanoexport("render", digits, "--board", "host", "-o", folder, "--json")
    refused(run, 2, "chapter1.tex", "-o")
    assert [path.name for path in folder.iterdir()] == ["chapter1.tex"]


def test_an_edited_project_is_refused_without_force(digits: Path, tmp_path: Path) -> None:
    folder = render(digits, tmp_path / "project", "host")
    (folder / "app" / "main.c").write_text("/* mine */\n")
    run = nanoexport("render", digits, "--board", "host", "-o", folder, "--json")
    refused(run, 2, "app/main.c", "--force")
    assert (folder / "app" / "main.c").read_text() == "/* mine */\n"
    render(digits, folder, "host", "--force")
    assert "mine" not in (folder / "app" / "main.c").read_text()


def test_a_file_for_a_folder(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = nanoexport("render", digits, "--board", "host", "-o", tmp_path / "file", "--json")
    refused(run, 2, "file")


@pytest.mark.parametrize("command", ["build", "flash"])
def test_a_folder_that_is_no_project(command: str, tmp_path: Path) -> None:
    refused(nanoexport(command, tmp_path, "--json"), 2, "nanoexport render")
    refused(nanoexport(command, tmp_path / "missing", "--json"), 2, "nanoexport render")
    (tmp_path / "nanoexport.json").write_text("{}")
    refused(nanoexport(command, tmp_path, "--json"), 2)


def test_flashing_before_building(digits: Path, tmp_path: Path) -> None:
    folder = render(digits, tmp_path / "project", "host")
    refused(nanoexport("flash", folder, "--json"), 2, "nanoexport build")


@pytest.mark.parametrize("board", BOARDS)
def test_render_build_flash(board: str, digits: Path, tmp_path: Path) -> None:
    folder = render(digits, tmp_path / "project", board)
    run = nanoexport("build", folder, "--json")
    assert run.code == 0, run.err
    assert all(Path(path).stat().st_size > 0 for path in run.document["files"])
    passport = nanoexport("flash", folder, "--json").document
    assert passport["board"] == board
    assert passport["build_id"] == run.document["build_id"]
    assert passport["elf_build_id"] == elf_build_id(Firmware.of(folder).elf) != NO_BUILD_ID
    manifest = Firmware.of(folder).manifest
    assert passport["toolchain"] == manifest["compiler"]
    assert passport["templates_sha256"] == manifest["templates_sha256"] == templates_sha256()


@pytest.mark.parametrize("prefix", ["digits", "Net_2"])
def test_a_prefix_of_ones_own_builds(prefix: str, digits: Path, tmp_path: Path) -> None:
    folder = render(digits, tmp_path / "project", "host", "--prefix", prefix)
    assert nanoexport("build", folder).code == 0
    assert f"void {prefix}_invoke(void)" in (folder / "model" / f"{prefix}.h").read_text()


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("arena", ["static", "caller"])
def test_the_standalone_application_prints_its_output(
    arena: str, board: str, digits: Path, tmp_path: Path
) -> None:
    options = ("--app", "standalone", "--arena", arena)
    folder = render(digits, tmp_path / "project", board, *options)
    run = nanoexport("build", folder, "--json")
    assert run.code == 0, run.err
    with start(load_board(board), Firmware.of(folder).elf) as running:
        text = _serial_text(running)
    numbers = text.split("output:", 1)[1].split("\n", 1)[0].split()
    assert len(numbers) == 10 and sum(int(n) + 128 for n in numbers) in range(246, 267)


def _serial_text(running: RunningBoard) -> str:
    """What a started board prints up to the end of its line `output:`."""
    text, deadline = "", time.monotonic() + 20
    while "\n" not in text.partition("output:")[2] and time.monotonic() < deadline:
        if select.select([running.connection], [], [], 0.5)[0]:
            text += running.connection.recv(4096).decode("ascii", "replace")
    return text


@pytest.mark.parametrize("board", BOARDS)
def test_a_model_on_an_arena_that_the_application_lends(board: str, digits: Path) -> None:
    """Exact, its guards intact, and without a byte of RAM of its own."""
    lent = nanoexport(
        "verify", digits, "--board", board, "--arena", "caller", "--no-controls", "--json"
    )
    assert lent.code == 0, lent.err
    assert lent.document["bit_exact"] is True
    settings = Settings(arena="caller")
    footprint = firmware_for(digits, load_board(board), settings).footprint
    assert (footprint.arena_bytes, footprint.static_ram_bytes) == (0, 0)


# --- serve, verify over a port, monitor ----------------------------------------------------------


def _line(process: subprocess.Popen[str], found: Callable[[str], bool]) -> str:
    """The first line of standard output that `found` accepts."""
    assert process.stdout is not None
    for line in process.stdout:
        if found(line):
            return line
    raise AssertionError("the output ended")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("board", BOARDS)
def test_serve_verify_bench_monitor(board: str, digits: Path, tmp_path: Path) -> None:
    folder = render(digits, tmp_path / "project", board)
    assert nanoexport("build", folder).code == 0
    tcp, url = _free_port(), "socket://127.0.0.1:{}"
    with background("flash", folder, "--serve", tcp) as server:
        _line(server, lambda line: "serving" in line)
        port = url.format(tcp)
        common = (digits, "--board", board, "--port", port, "--json")
        for more, caught in (["--no-controls"], 0), ([], 7):
            run = nanoexport("verify", *common, "--vectors", "5", *more)
            assert run.document["bit_exact"] is True
            assert run.document["controls"]["caught"] == caught
        counted = nanoexport("bench", *common).document["instructions"]
        assert counted is None if board == "host" else counted > 0
        asked = nanoexport("identify", "--port", port, "--firmware", folder, "--json")
        assert asked.code == 0 and asked.document["differs"] == []
        with background("monitor", "--port", port) as watcher:
            line = _line(watcher, lambda line: "build" in line)
            assert f"digits@{board}" in line
            watcher.send_signal(signal.SIGINT)
            out, err = watcher.communicate(timeout=PATIENCE_SECONDS)
            assert watcher.returncode == 0 and "Traceback" not in err + out
        busy = nanoexport("flash", folder, "--serve", tcp, "--json")
        assert busy.code == 3
        emulators = _children(server.pid)
        assert emulators
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=PATIENCE_SECONDS)
    assert server.returncode == 130 and "Traceback" not in err
    _assert_gone(emulators)


def _assert_gone(pids: list[int]) -> None:
    assert all(wait_until_gone(pid) for pid in pids), "the emulator outlived its command"


@pytest.mark.emulator
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_an_interrupted_verify_leaves_no_emulator(as_json: bool, small_model: Path) -> None:
    arguments = ["verify", small_model, "--board", "mps2-an386", "--vectors", "5000"]
    with background(*arguments, *(["--json"] if as_json else [])) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _emulators(process.pid):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
        helpers = _children(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in err and "interrupted" in err
    if as_json:
        assert json.loads(out)["error"]["what"] == "interrupted"
    _assert_gone(helpers)


def _emulators(pid: int) -> list[int]:
    return [child for child in _children(pid) if b"qemu" in _command_line(child)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
@pytest.mark.emulator
def test_a_killed_command_leaves_no_emulator(small_model: Path) -> None:
    arguments = ["verify", small_model, "--board", "mps2-an386", "--vectors", "5000"]
    with background(*arguments) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (emulators := _emulators(process.pid)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
        _assert_gone(emulators)


# --- all of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("board", BOARDS)
def test_deploy(board: str, tmp_path: Path) -> None:
    target = tmp_path / "digits.tflite"
    run = nanoexport(
        "deploy", DIGITS / "digits.keras", "--data", DIGITS / "calibration.npz",
        "--test", DIGITS / "test.npz", "--board", board, "-o", target, "--vectors", "3", "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    document = run.document
    assert document["bit_exact"] is True and document["vectors"] >= 303
    assert document["controls"]["detection_rate"] == 1
    accuracy = document["accuracy"]
    assert accuracy["samples"] >= 300
    assert accuracy["int8_board"] == accuracy["int8_host"] >= 0.97
    assert abs(accuracy["float_model"] - accuracy["int8_board"]) < 0.02
    assert (document["benchmark"]["instructions"] is None) == (board == "host")
    assert document["predicted"]["image_bytes"] == document["measured"]["image_bytes"]
    assert target.exists()


def test_deploy_takes_what_convert_takes(tmp_path: Path) -> None:
    """How samples are read, and metadata."""
    target, metadata = tmp_path / "digits.tflite", tmp_path / "digits.yaml"
    metadata.write_text(
        f"title: Digits\noutputs: [{{labels: {[str(k) for k in range(10)]}}}]", encoding="utf-8"
    )
    run = nanoexport(
        "deploy", DIGITS / "digits.keras", "--data", DIGITS / "calibration.npz", "--samples", "40",
        "--metadata", metadata, "--board", "host", "-o", target, "--vectors", "3", "--no-controls",
        "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert run.document["conversion"]["samples"] == 40
    stated = read_file(target)[0].metadata
    assert stated is not None and stated.title == "Digits"
