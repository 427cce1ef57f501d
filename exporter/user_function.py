"""A function of the user's own, `module:function`: found, called, and its failures told.

`form` says in words what the function must be: "a function without arguments that returns ...".
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from exporter.errors import BadInput
from exporter.process import without_input

DEADLINE_S = 200.0
"""How long `called` waits. Less than the host allows to the process that calls it."""

_log = logging.getLogger(__name__)


def found(name: str, folder: Path, form: str) -> Callable[..., Any]:
    """The function `name`, its module being looked for in `folder` first; nothing is called yet.

    Raises BadInput where there is none, and whatever the module raises while it is imported.
    """
    module_name, _, function_name = name.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return _function(module_name, function_name, form)


def called(name: str, folder: Path, form: str) -> Any:
    """What the function `name` returns, without arguments, without input, in the main thread.

    Raises BadInput where there is no such function, or where it fails or does not return;
    ModuleNotFoundError, for a module that the user's own imports, as it is.
    """
    try:
        with without_input(), _deadline():
            return found(name, folder, form)()
    except (BadInput, ModuleNotFoundError):
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise failed(f"the function {name}", error, folder, form) from None


def failed(what: str, error: BaseException, folder: Path, form: str) -> BadInput:
    """The error of a function that raised, with the line of the user's own that did."""
    _log.debug("%s raised", what, exc_info=error)
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return BadInput(
        f"{what} failed",
        value=f"{_place(error, folder)}{text}",
        allowed=form,
        next_step="run it by itself in Python; -vv shows the traceback",
    )


@contextlib.contextmanager
def _deadline() -> Iterator[None]:
    """Raises TimeoutError inside the block, in the main thread, once its time is over."""

    def expire(*_: object) -> None:
        raise TimeoutError(f"it has not returned in {DEADLINE_S:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _function(module_name: str, function_name: str, form: str) -> Callable[..., Any]:
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the user's own imports
        raise BadInput(
            f"there is no module '{module_name}'",
            value=f"no {module_name.replace('.', '/')}.py in the current folder",
            allowed="module:function, where module.py is in the current folder or installed",
            next_step="check the name, or change to the folder of the module",
        ) from None
    for part in function_name.split("."):
        if not hasattr(found, part):
            raise BadInput(
                f"the module '{module_name}' has no function '{function_name}'",
                value=f"it has: {_functions(found) or 'none'}",
                allowed=form,
            )
        found = getattr(found, part)
    if callable(found):
        function: Callable[..., Any] = found
        return function
    raise BadInput(
        f"{module_name}:{function_name} is not a function",
        value=type(found).__name__,
        allowed=form,
    )


def _functions(module: Any) -> str:
    return ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))


def _place(error: BaseException, folder: Path) -> str:
    """`models.py, line 3, in build: `, the innermost line of the user's own files."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{os.path.relpath(error.filename, folder)}, line {error.lineno}: "
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(folder)
        and "site-packages" not in frame.filename
        and Path(__file__).parent not in Path(frame.filename).parents
    ]
    if not own:
        return ""
    name = os.path.relpath(own[-1].filename, folder)
    return f"{name}, line {own[-1].lineno}, in {own[-1].name}: "
