"""The Jinja environment of all templates: strict; a block tag alone on a line leaves no trace."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jinja2

from exporter.render import c_format

REPORTS = "report/"
"""Templates of pages and pictures for people: no firmware has any of them."""
USER_PROJECT = "user_project/"
"""Templates of what `nanoexport init` starts: nor of these."""


def template_folder() -> Path:
    """The folder `firmware_templates`: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "firmware_templates"
    return installed if installed.is_dir() else package.parent / "firmware_templates"


@cache
def templates_sha256() -> str:
    """64 hex digits over path and contents of every template that a firmware may need."""
    digest = hashlib.sha256()
    folder = template_folder()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if not name.startswith((REPORTS, USER_PROJECT)):
            contents = path.read_bytes()
            digest.update(f"{name}\0{len(contents)}\0".encode() + contents)
    return digest.hexdigest()


def register(*filters: Callable[..., object]) -> None:
    """Make functions available to templates as filters, under their own names."""
    environment().filters.update({function.__name__: function for function in filters})


@cache
def environment() -> jinja2.Environment:
    """One environment for the whole process."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="//%",
        line_comment_prefix="//#",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    env.filters.update(c_format.FILTERS)
    return env


def render(template: str, **context: object) -> str:
    """Render `template` (a path below `firmware_templates`) with `context`."""
    return environment().get_template(template).render(**context)
