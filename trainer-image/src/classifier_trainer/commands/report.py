"""report: writes report.html of a run anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from classifier_trainer.errors import UserError
from classifier_trainer.output.report import write_report
from classifier_trainer.output.run_json import FILE_NAME


def report(folder: Path) -> None:
    """Writes report.html into the folder of a run; with texts of rows, unless its configuration says no.

    Raises:
        UserError: no folder of a run, or it cannot be written.
    """
    try:
        record = json.loads((folder / FILE_NAME).read_bytes())
        rows = record["config"].get("report", {}).get("rows", True)
    except FileNotFoundError:
        raise UserError(f"FOLDER: '{folder}' holds no {FILE_NAME}: name the output of a run.") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"FOLDER: {FILE_NAME} in '{folder}' cannot be read: {error}.") from None
    try:
        path = write_report(folder, rows=rows)
    except OSError as error:
        raise UserError(f"FOLDER: '{folder}' cannot be written: {error.strerror}.") from error
    print(path, file=sys.stderr)
