"""The models of shapes.py reach every template, each with the assembly that its set promises."""

from __future__ import annotations

from exporter.ops.kernels import SETS
from exporter.render.environment import template_folder
from tests.ops.emulated import GUARDS
from tests.ops.harness import graph_of
from tests.ops.kernels.layers import TARGETS
from tests.ops.kernels.shapes import GROUPS, half_of
from tests.ops.variants import in_place, offered

FOLDER = template_folder() / "kernels"
TEMPLATES = {
    path.relative_to(FOLDER).as_posix().removesuffix(".c.j2")
    for path in FOLDER.rglob("*.j2")
    if not path.name.startswith("_")
}


def test_every_template_is_reached() -> None:
    """Kernels and micro-kernels, by either half of the models: some builds run one half only.
    A template that nothing reaches is untested, or unused.
    """
    found: tuple[set[str], set[str]] = (set(), set())
    for make in GROUPS.values():
        for name, data in make().items():
            found[half_of(name)].update(_templates(data))
    assert found == (TEMPLATES, TEMPLATES)


def _templates(data: bytes) -> set[str]:
    found, graph = set(), graph_of(data)
    for target in TARGETS.values():
        planned = in_place(graph, target)
        rests = (step.candidate for step in planned.steps) if planned else ()
        for candidate in (*offered(graph, target), *rests):
            found |= {candidate.kernel, *(micro.template for micro in candidate.micro_kernels)}
    return found


def test_every_set_has_its_guard() -> None:
    """Assembly stands under the guard of its set, which tests on boards check."""
    micro_kernels = {template for template in TEMPLATES if "/micro/" in template}
    assert {template.partition("/")[0] for template in micro_kernels} == set(SETS)
    assert set(GUARDS) == set(SETS)
    for template in micro_kernels:
        guard = GUARDS[template.partition("/")[0]]
        text = (FOLDER / f"{template}.c.j2").read_text(encoding="utf-8")
        if "__asm__" in text or "NANO_C_TWINS" in text:
            assert f"#if {guard} && !defined(NANO_C_TWINS)" in text, template
