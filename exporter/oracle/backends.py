"""Which Python package computes which numeric dialect, and whether it is installed.

Both dialects are the reference kernels (`BUILTIN_REF`) of a runtime; the runtimes differ in how
they round (docs/architecture.md). A version that was not measured is not accepted as a reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from exporter.errors import BadInput, MissingTool


@dataclass(frozen=True)
class Backend:
    """A package with a TFLite interpreter: `module` offers Interpreter and OpResolverType."""

    distribution: str
    version: str  # the measured one, major.minor
    module: str
    install: str
    max_numpy: int  # the newest major version of numpy that it works with


TFLITE_RUNTIME = Backend(
    "tflite-runtime",
    "2.14",
    "tflite_runtime.interpreter",
    "pip install 'tflite-runtime==2.14.0' 'numpy<2'",
    1,
)
TENSORFLOW = Backend(
    "tensorflow",
    "2.19",
    "tensorflow.lite.python.interpreter",
    "pip install 'tensorflow==2.19.1'",
    2,
)
AI_EDGE_LITERT = Backend(
    "ai-edge-litert",
    "2.3",
    "ai_edge_litert.interpreter",
    "pip install 'ai-edge-litert==2.3.0'",
    2,
)

# The first installed one that takes the model is used. tflite-runtime starts in 0.2 s, TensorFlow
# in 4 s, but it takes what the older runtime refuses (weights of 4 bits in dense layers).
BACKENDS: dict[str, tuple[Backend, ...]] = {
    "tflite": (TFLITE_RUNTIME, TENSORFLOW),
    "litert": (AI_EDGE_LITERT,),
}

DIALECTS = tuple(BACKENDS)


def find_backend(dialect: str, version_of: Callable[[str], str | None] | None = None) -> Backend:
    """The first of `find_backends`."""
    return find_backends(dialect, version_of)[0]


def find_backends(
    dialect: str, version_of: Callable[[str], str | None] | None = None
) -> tuple[Backend, ...]:
    """The installed backends of a dialect, at least one, the one that starts fastest first.

    Raises BadInput for an unknown dialect, MissingTool with the line that installs a backend.
    `version_of` maps a distribution's name to its installed version, for tests.
    """
    if dialect not in BACKENDS:
        raise BadInput("unknown numeric dialect", value=dialect, allowed=DIALECTS)
    problems = {b: _problem(b, version_of or installed_version) for b in BACKENDS[dialect]}
    installed = tuple(backend for backend, problem in problems.items() if problem is None)
    if installed:
        return installed
    raise MissingTool(
        f"no host reference for the dialect '{dialect}' is installed",
        value="; ".join(filter(None, problems.values())),
        allowed=[f"{b.distribution} {b.version}" for b in BACKENDS[dialect]],
        next_step=BACKENDS[dialect][0].install,
    )


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _problem(backend: Backend, look_up: Callable[[str], str | None]) -> str | None:
    version = look_up(backend.distribution)
    if version is None:
        return f"{backend.distribution} is not installed"
    if not version.startswith(backend.version + "."):
        return f"{backend.distribution} is {version}"
    numpy_version = look_up("numpy") or "0"
    if int(numpy_version.split(".")[0]) > backend.max_numpy:
        return f"{backend.distribution} does not work with numpy {numpy_version}"
    return None
