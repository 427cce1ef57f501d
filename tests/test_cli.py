"""The command line as a whole: options, help, exit codes, and the one JSON document."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import get_args

import pytest

from exporter import __version__
from exporter.board import Evidence, board_names
from exporter.cli import cli
from tests.hil.support import COMMAND, REPOSITORY, nanoexport, refused, spawned

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

COMMANDS = ["convert", "audit", "inspect", "render", "build", "flash", "verify", "bench"]
COMMANDS += ["boot-loader", "evaluate", "deploy", "identify", "replay", "monitor", "boards"]
COMMANDS += ["init", "doctor"]
COMMANDS += ["prune", "distill", "qat"]

VERIFY_KEYS = {
    "schema_version", "model", "board", "dialect", "vectors", "mismatches", "mismatched_elements",
    "bit_exact", "model_sha256", "build_id", "predicted", "measured", "predictions",
    "controls",
}  # fmt: skip
BENCH_KEYS = {
    "schema_version", "model", "board", "toolchain", "optimize", "instructions", "macs",
    "arena_bytes", "static_ram_bytes", "stack_bytes", "code_bytes", "weights_bytes", "flash_bytes",
    "layers", "model_sha256", "modelled_cycles", "cycle_model", "clock_hz", "modelled_milliseconds",
    "no_modelled_cycles", "baseline", "silicon", "latency", "budget",
}  # fmt: skip
LAYER_KEYS = {
    "index", "op", "name", "macs", "instructions", "instructions_per_mac", "share_percent",
    "cycles", "cycles_per_mac", "modelled_cycles",
}  # fmt: skip
BOARD_KEYS = {"name", "mcu", "core", "flash_bytes", "ram_bytes", "flasher", "evidence"}


def test_the_commands_are_those_of_the_pipeline() -> None:
    assert list(cli.commands) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_that_keeps_its_lines(command: str) -> None:
    run = nanoexport(command, "--help")
    assert run.code == 0
    lines = [line.strip() for line in run.out.splitlines()]
    assert "Example:" in lines or "Examples:" in lines
    assert any(line.startswith(f"nanoexport {command}") for line in lines)
    assert "\\b" not in run.out and "\b" not in run.out


def test_the_help_names_the_exit_codes() -> None:
    out = nanoexport("--help").out
    assert "\\b" not in out
    for word in ("0 done", "1 a check failed", "2 bad usage", "3 a tool", "4 the link", "130"):
        assert word in out


def test_the_version() -> None:
    run = nanoexport("--version")
    assert run.code == 0 and __version__ in run.out


def test_help_and_version_need_no_heavy_imports() -> None:
    """A command that only prints must not load TensorFlow, nor any oracle."""
    heavy = "{'tensorflow', 'tflite_runtime', 'ai_edge_litert'}"
    script = f"import sys, exporter.cli; print({heavy} & set(sys.modules))"
    out = subprocess.run(
        [COMMAND[0], "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["verify"],
        ["verify", "m.tflite"],
        ["verify", "m.tflite", "--board", "host", "--colour", "red"],
        ["verify", "m.tflite", "--board", "host", "--vectors", "0"],
        ["verify", "m.tflite", "--board", "host", "--vectors", "many"],
        ["verify", "m.tflite", "--board", "host", "--dialect", "pytorch"],
        ["bench", "m.tflite", "--board", "host", "--optimize", "everything"],
        ["bench", "m.tflite", "--board", "host", "--toolchain", "armcc"],
        ["convert", "m.keras"],
        ["flash", "d", "--serve", "70000"],
        ["render", "m.tflite", "--board", "host", "-o", "d", "--app", "game"],
        ["boards", "--all"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str]) -> None:
    run = nanoexport(*arguments, "--json")
    assert run.code == 2
    assert run.error["what"] and "--help" in str(run.error["next"])
    assert "Traceback" not in run.err


def test_no_command_at_all_points_to_the_help() -> None:
    run = nanoexport()
    assert run.code == 2 and run.out == "" and "nanoexport --help" in run.err


def test_a_misspelt_option_gets_a_suggestion() -> None:
    assert "--board" in nanoexport("verify", "m.tflite", "--bord", "host").err


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("mps2-an368", "mps2-an386"), ("riscv32", "riscv32-virt"), ("hots", "host")],
)
def test_an_unknown_board_gets_the_nearest_names(
    name: str, nearest: str, small_model: Path
) -> None:
    error = refused(nanoexport("verify", small_model, "--board", name, "--json"), 2, name)
    assert nearest in str(error["next"])
    assert error["allowed"] == ", ".join(board_names())


def test_an_unknown_board_far_from_every_name(small_model: Path) -> None:
    refused(nanoexport("bench", small_model, "--board", "zx81", "--json"), 2, "nanoexport boards")


@pytest.mark.parametrize(
    "prefix", ["9lives", "a-b", "", "my model", "_x", "été", "platform", "nano"]
)
def test_a_prefix_that_is_no_c_name(prefix: str, small_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run = nanoexport(
        "render", small_model, "--board", "host", "-o", folder, "--prefix", prefix, "--json"
    )
    refused(run, 2, "prefix")
    assert not folder.exists()


@pytest.mark.parametrize("where", ["before", "after"])
def test_json_before_and_after_the_subcommand(where: str) -> None:
    arguments = ["--json", "boards"] if where == "before" else ["boards", "--json"]
    run = nanoexport(*arguments)
    assert run.code == 0
    assert run.document["schema_version"] == 1
    assert "mps2-an386" in run.err, "text for people goes to stderr"


@pytest.mark.parametrize("arguments", [["-v", "doctor"], ["doctor", "-v"]], ids=["before", "after"])
def test_verbosity_before_and_after_the_subcommand(arguments: list[str]) -> None:
    run = spawned(*arguments, "--json")
    assert "cmake --version" in run.err
    assert run.document["findings"]


def test_the_boards_document() -> None:
    entries = nanoexport("boards", "--json").document["boards"]
    assert [entry["name"] for entry in entries] == list(board_names())
    assert all(set(entry) >= BOARD_KEYS for entry in entries)
    assert {entry["evidence"] for entry in entries} <= set(get_args(Evidence))
    assert all(entry["flasher"] == entry["flashers"][0] for entry in entries)


def test_the_verify_document(small_model: Path) -> None:
    document = nanoexport("verify", small_model, "--board", "host", "--json").document
    assert set(document) >= VERIFY_KEYS
    assert set(document["predicted"]) == {"arena_bytes", "image_bytes", "stack_bytes"}
    assert set(document["measured"]) == {"arena_bytes", "stack_bytes", "image_bytes"}
    assert document["vectors"] == 20 and document["mismatches"] == 0
    assert document["bit_exact"] is True and document["mismatched_elements"] == 0
    assert document["controls"]["detection_rate"] == 1
    assert document["predicted"]["arena_bytes"] == document["measured"]["arena_bytes"]


def test_the_bench_document(small_model: Path) -> None:
    document = nanoexport("--json", "bench", small_model, "--board", "host").document
    assert set(document) >= BENCH_KEYS
    assert document["instructions"] is None, "a native process cannot count them"
    assert document["flash_bytes"] == document["code_bytes"] + document["weights_bytes"]
    layers = document["layers"]
    assert all(set(layer) == LAYER_KEYS for layer in layers)
    assert all(layer["instructions"] is None for layer in layers)
    assert sum(layer["macs"] for layer in layers) == document["macs"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["boards"],
        ["boards", "--json"],
        ["inspect"],
        ["inspect", "--dump-after", "plan"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_a_reader_that_leaves_early(arguments: list[str], small_model: Path) -> None:
    """As with `| head -1`: no traceback, no complaint, and the exit code of the work itself."""
    if arguments[0] == "inspect":
        arguments = ["inspect", str(small_model), *arguments[1:]]
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait(60) == 0
    assert "Traceback" not in err and "Broken" not in err and "Exception" not in err


def test_a_failed_check_behind_a_broken_pipe_still_fails(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--json", "inspect", str(tmp_path / "missing.tflite")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 2


@pytest.mark.parametrize("command", ["identify", "monitor"])
@pytest.mark.parametrize("port", [(), ("--port", "emulator")])
def test_commands_that_start_nothing_need_a_port(command: str, port: tuple[str, ...]) -> None:
    run = nanoexport(command, *port, "--json")
    assert run.code == 2 and run.error["what"] == "there is no port to open"
    assert "--serve" in str(run.error["next"])
    assert "emulator" not in nanoexport(command, "--help").out.partition("--port")[2][:200]
