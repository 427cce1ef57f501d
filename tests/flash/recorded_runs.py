"""Other programs, stood in for: what is run is recorded, what they print is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from exporter import process
from exporter.errors import NanoexportError

Answer = tuple[int, str]
"""Exit code and output."""


@dataclass
class RecordedRuns:
    """Takes the place of `process.run`. `files`: what was in the folder of each run;
    `environments`: what each would have seen.
    """

    answer: Callable[[list[str]], Answer]
    argvs: list[list[str]] = field(default_factory=list)
    files: list[dict[str, bytes]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        cwd: Path,
        error: type[NanoexportError],
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        **_: Any,
    ) -> process.Completed:
        self.argvs.append(list(argv))
        self.files.append({path.name: path.read_bytes() for path in cwd.iterdir()})
        self.folders.append(cwd)
        self.environments.append(process.tool_environment(environment))
        code, output = self.answer(list(argv))
        if check and code:
            raise error(f"{argv[0]} failed with {process.exit_status(code)}", value=output)
        return process.Completed(tuple(argv), code, output, "")

    def replace(self, monkeypatch: pytest.MonkeyPatch) -> RecordedRuns:
        """Itself, from now on in the place of `process.run`."""
        monkeypatch.setattr(process, "run", self)
        return self
