"""check: reads the data of a configuration, and says what they look like; neither torch nor a model is loaded."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from classifier_trainer.config import RunConfig
from classifier_trainer.data.load import load_dataset
from classifier_trainer.data.sources import Sources
from classifier_trainer.errors import UserError

_SHOWN = 50


def check(config: RunConfig, to: Path | None) -> None:
    """Prints what the data look like, and writes the whole profile to `to`.

    Raises:
        UserError: all that is wrong with the data, or `to` cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="classifier-data-") as folder:
        scratch = Path(folder)
        with tqdm(unit=" rows", file=sys.stderr, disable=None) as bar:

            def progress(rows: int) -> None:
                bar.update(max(rows - bar.n, 0))

            dataset = load_dataset(config, Sources(config.mounts, scratch / "downloads"), scratch, progress)
        profile = dataset.profile
    if to is not None:
        try:
            to.write_text(json.dumps(profile, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--to: '{to}' cannot be written: {error.strerror}.") from error
    print("\n".join(_lines(profile)))


def _lines(profile: dict[str, Any]) -> list[str]:
    rows = profile["rows"]
    lines = [
        f"{profile['task']}: {profile['reason']}",
        f"rows: {rows['train']} to train on, {rows['validation']} to validate on, {rows['test']} to test on",
        "",
        *_table(profile["labels"]),
        "",
    ]
    warnings = profile["warnings"]
    for warning in warnings:
        numbers = warning.get("lines") or []
        where = f" (lines {', '.join(map(str, numbers))})" if numbers else ""
        lines.append(f"warning: {warning['text']}{where}")
    return [*lines, f"{len(warnings)} warnings" if warnings else "no warnings"]


def _table(labels: list[dict[str, Any]]) -> list[str]:
    shown = labels[:_SHOWN]
    width = max(len("label"), *(len(label["name"]) for label in shown))
    lines = [f"{'label':{width}}  {'train':>8}  {'validation':>10}  {'test':>8}"]
    lines += [
        f"{label['name']:{width}}  {label['train']:8d}  {label['validation']:10d}  {label['test']:8d}"
        for label in shown
    ]
    return [*lines, f"and {len(labels) - len(shown)} more"] if len(labels) > len(shown) else lines
