"""The repository is what docs/architecture.md says: imports, registries, documents, set-up."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from exporter import flash, ops, passes
from exporter.ops.table import operators_document
from exporter.process import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "exporter").rglob("*.py"))
MAX_LINES = 450

# From top to bottom. A module imports from its own package and from below, never from above or from
# a neighbour. The longest prefix counts.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("exporter.cli",),
    ("exporter.commands",),
    ("exporter.doctor", "exporter.options", "exporter.plan_report", "exporter.reports"),
    ("exporter.latency_report", "exporter.metadata_report"),
    ("exporter.compress", "exporter.pipeline"),
    ("exporter.convert", "exporter.hil"),
    ("exporter.console", "exporter.cycles", "exporter.flash", "exporter.oracle"),
    ("exporter.foreign", "exporter.link", "exporter.samples"),
    ("exporter.build",),
    ("exporter.render",),
    ("exporter.plan",),
    ("exporter.passes",),
    ("exporter.ops",),
    ("exporter.graph",),
    ("exporter.toolchain", "exporter.worker"),
    ("exporter.metrics",),
    ("exporter.user_function",),
    ("exporter.arrays", "exporter.board", "exporter.process"),
    ("exporter.errors",),
    ("exporter",),
)
# What must stay true even where the order above would allow more.
ONLY = {
    "exporter.graph": {"exporter.graph", "exporter.errors"},  # knows no board
    "exporter.link": {"exporter.link", "exporter.errors"},  # knows no compiler
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Modules of the package that the file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if is_module(full) else str(node.module)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def layer(module: str) -> tuple[int, str]:
    """Depth of the module's layer, and the entry that matched."""
    matches = [
        (len(prefix), depth, prefix)
        for depth, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    _, depth, prefix = max(matches)
    return depth, prefix


def package(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_downwards(path: Path) -> None:
    module = module_name(path)
    depth, _ = layer(module)
    for imported in imports(path):
        if not re.match(r"exporter(\.|$)", imported) or package(imported) == package(module):
            continue
        assert layer(imported)[0] > depth, f"{module} imports {imported} from above"
        if package(module) in ONLY:
            assert package(imported) in ONLY[package(module)], f"{module} imports {imported}"


def test_every_part_has_a_layer() -> None:
    parts = {"exporter"} | {f"exporter.{m.name}" for m in pkgutil.iter_modules([ROOT / "exporter"])}
    assert parts <= {prefix for prefixes in LAYERS for prefix in prefixes}


def stems(folder: str) -> set[str]:
    return {p.stem for p in (ROOT / "exporter" / folder).glob("*.py")} - {"__init__", "base"}


def test_operators_are_registered_by_file_name_and_tested() -> None:
    modules = {stem: importlib.import_module(f"exporter.ops.{stem}") for stem in stems("ops")}
    registered = {stem: m.OPERATOR.kind for stem, m in modules.items() if hasattr(m, "OPERATOR")}
    assert {stem.upper() for stem in registered} == set(registered.values()) == {*ops.operators()}
    tested = {path.stem for path in (ROOT / "tests" / "ops").glob("test_*.py")}
    assert {f"test_{stem}" for stem in registered} <= tested


def test_every_constraint_says_its_rule() -> None:
    for operator in ops.operators().values():
        for rule in operator.constraints:
            assert rule.__doc__ and rule.__doc__.strip().endswith("."), f"{rule.__name__}"


def test_passes_are_listed_and_tested() -> None:
    assert set(passes.names()) == stems("passes")
    tested = {path.stem for path in (ROOT / "tests" / "passes").glob("test_*.py")}
    assert {f"test_{name}" for name in passes.names()} <= tested


def test_flashers_are_listed_and_tested() -> None:
    modules = {stem: importlib.import_module(f"exporter.flash.{stem}") for stem in stems("flash")}
    defining = {
        stem
        for stem, module in modules.items()
        for made in vars(module).values()
        if inspect.isclass(made) and issubclass(made, flash.Flasher)
        if made.__module__ == module.__name__
    }
    assert set(flash.FLASHERS) == defining
    tested = {path.stem for path in (ROOT / "tests" / "flash").glob("test_*.py")}
    assert {f"test_{name}" for name in flash.FLASHERS} <= tested


def test_documents_of_operators_are_fresh() -> None:
    found = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert found == operators_document(), "docs/operators.md is stale: run `make docs`"


def test_links_in_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_files_are_about_one_thing() -> None:
    files = [p for top in ("exporter", "firmware_templates") for p in (ROOT / top).rglob("*.*")]
    texts = [p for p in files if p.suffix in (".py", ".c", ".h", ".j2")]
    long = [p.name for p in texts if len(p.read_text("utf-8").splitlines()) > MAX_LINES]
    assert not long


def test_set_up_installs_the_programs_that_messages_name() -> None:
    listed = re.findall(r"^(\S+) +\| (\S+) +\|", (ROOT / ".ci" / "setup").read_text("utf-8"), re.M)
    needed = {
        (program, package_name.removeprefix("Debian package "))
        for program, package_name in PACKAGES.items()
        if package_name.startswith("Debian package ") and not program.endswith("objcopy")
    }
    assert needed == set(listed)


def constraints() -> dict[str, str]:
    lines = (ROOT / ".ci" / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_name_released_versions_only() -> None:
    assert constraints()
    for name, version in constraints().items():
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name} {version}"


def test_constraints_cover_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = re.search(r"^readonly extras=(.*)$", (ROOT / ".ci/setup").read_text("utf-8"), re.M)
    assert extras is not None
    # `torch` is the one that is left out: it lives in an environment of its own.
    assert {*extras[1].split(","), "torch"} == set(project["optional-dependencies"])
    chosen = [project["optional-dependencies"][extra] for extra in extras[1].split(",")]
    required = sum(chosen, project["dependencies"])
    names = {canonical(re.split(r"[<>=;\[ ]", requirement)[0]) for requirement in required}
    assert names <= {canonical(name) for name in constraints()}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="constraints are for Python 3.11")
def test_installed_versions_are_the_constrained_ones() -> None:
    installed = {canonical(d.name): d.version for d in metadata.distributions()}
    expected = {canonical(name): version for name, version in constraints().items()}
    assert {name: installed.get(name) for name in expected} == expected


@pytest.mark.parametrize("script", ["setup", "run", "lock"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / ".ci" / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", path], check=True, timeout=30)
