"""The two files of a report, each of which is absent, or the old one, or the new one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from exporter.arrays import write_atomically
from exporter.convert.convert import ConvertReport
from exporter.convert.report.document import report_document
from exporter.convert.report.judgement import Judgement
from exporter.convert.report.page import page
from exporter.errors import BadInput

JSON_NAME, HTML_NAME = "report.json", "report.html"


def check_folder(folder: Path) -> None:
    """Raises BadInput unless a report can be written there: asked before the work, not after."""
    nearest = next((p for p in (folder, *folder.parents) if p.exists()), Path())
    try:
        if nearest.is_dir():
            tempfile.TemporaryFile(dir=nearest).close()
            return
        reason = f"'{nearest}' is a file"
    except OSError as error:
        reason = error.strerror or str(error)
    raise BadInput(
        f"cannot write the report to '{folder}'",
        value=reason,
        allowed="a folder, which is made where there is none",
    )


def write_report(folder: Path, conversion: ConvertReport, judgement: Judgement) -> tuple[Path, ...]:
    """Writes both files, once both are made; other files of the folder stay. Raises BadInput."""
    document = json.dumps(report_document(conversion, judgement), indent=1, allow_nan=False)
    html = page(conversion, judgement)
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / JSON_NAME, folder / HTML_NAME
    for path, text in zip(paths, (document + "\n", html), strict=True):
        write_atomically(path, text.encode())
    return paths
