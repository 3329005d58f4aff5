"""Puts report.html together: one file that needs nothing from outside and may do nothing but show itself."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from classifier_trainer.output.report.bars import class_chart, length_chart
from classifier_trainer.output.report.curves import curve_charts, reliability_chart
from classifier_trainer.output.report.data import classes_table, examples_of, facts_table, warnings_of
from classifier_trainer.output.report.heat import heat_map
from classifier_trainer.output.report.read import Run, read_folder
from classifier_trainer.output.report.tables import (
    Table,
    calibration_table,
    checkpoints_table,
    confusions_table,
    functions_table,
    labels_table,
    pairs_table,
    thresholds_table,
)
from classifier_trainer.output.report.training import metric_charts, training_charts
from classifier_trainer.output.report.values import (
    NONE,
    dig,
    duration,
    figure,
    mapping,
    moment,
    number,
    plural,
    printable,
    sequence,
    short_uri,
)
from classifier_trainer.output.report.verdict import seconds_taken, verdict
from classifier_trainer.output.report.worst import worst_rows

FILE_NAME = "report.html"
_HERE = Path(__file__).parent
_TEMPERATURES = 8


def write_report(folder: Path, *, rows: bool = True) -> Path:
    """Writes report.html into the folder of a run, out of the other files there, and returns its path.

    Args:
        folder: output of a run (design.md section 5); what is missing in it is missing in the report.
        rows: whether texts of rows may be shown.

    Raises:
        OSError: the file cannot be written.
    """
    path = folder / FILE_NAME
    temporary = path.with_name(f".tmp-{FILE_NAME}")
    temporary.write_bytes(render(read_folder(folder), rows=rows).encode("utf-8", "replace"))
    temporary.replace(path)
    return path


def render(run: Run, *, rows: bool) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"NONE": NONE, "figure": figure, "plural": plural}
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    script = (_HERE / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        # Ours, and without anything of the run in them: the hashes allow exactly these.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=_policy(style, script),
        **_head(run, texts=rows),
        **_results(run),
        **_data(run, texts=rows),
        **_configuration(run),
    )


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _head(run: Run, *, texts: bool) -> dict[str, Any]:
    config = mapping(run.record.get("config"))
    data = dig(config, "trainDataset", "uri") or dig(config, "trainDataset", "configMap", "key")
    model = short_uri(dig(config, "baseModel", "uri"))
    end = moment(run.record.get("completionTime"))
    end = end.astimezone(UTC) if end else None
    labels = sequence(run.record.get("labels")) or list(mapping(run.metrics.get("labels")))
    method = dig(run.record, "hyperparameters", "method") or dig(config, "hyperparameters", "method")
    outcome = printable(run.record.get("outcome") or "", 40)
    chips = [
        run.task,
        plural(len(labels), "label") if labels else "",
        printable(method, 40) if method else "",
        duration(seconds_taken(run)) if seconds_taken(run) is not None else "",
        f"{end:%d %B %Y, %H:%M} UTC".lstrip("0") if end else "",
    ]
    return {
        "title": printable(short_uri(data) or run.folder.name, 100),
        "model": printable(model, 100),
        "chips": [chip for chip in chips if chip],
        "outcome": outcome,
        "message": ""
        if outcome in ("", "Succeeded")
        else printable(dig(run.record, "progress", "message") or "", 1000),
        "verdict": verdict(run),
        "warnings": warnings_of(run, texts=texts),
    }


def _results(run: Run) -> dict[str, Any]:
    return {
        "split": run.metrics_split,
        "best": printable(run.best.name, 80) if run.best else "",
        "measured": bool(run.metrics),
        "training_charts": training_charts(run),
        "metric_charts": metric_charts(run),
        "checkpoints": checkpoints_table(run) if run.checkpoints else None,
        "heat": heat_map(mapping(run.metrics.get("confusion"))),
        "confusions": confusions_table(run.metrics),
        "curves": curve_charts(run.metrics),
        "labels": labels_table(run),
        "reliability": reliability_chart(run.metrics),
        "calibration": calibration_table(run),
        "temperature": _temperature(run),
        "thresholds": thresholds_table(run),
    }


def _data(run: Run, *, texts: bool) -> dict[str, Any]:
    worst = None
    if run.best is not None and run.best.folder is not None:
        results = run.best.folder / "test" / "results.jsonl"
        worst = worst_rows(results, run.task, texts=texts) if results.is_file() else None
    return {
        "texts": texts,
        "facts": facts_table(run),
        "classes": classes_table(run),
        "class_chart": class_chart(sequence(run.profile.get("labels"))),
        "lengths": length_chart(mapping(run.profile.get("lengths"))),
        "examples": examples_of(run, texts=texts),
        "worst": worst,
        "functions": functions_table(run, errors=texts),
    }


def _configuration(run: Run) -> dict[str, Any]:
    config = mapping(run.record.get("config"))
    shown = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100) if config else ""
    return {
        "config": printable(shown),
        "digest": printable(run.record.get("digest") or "", 100),
        "tables": [table for table in _pairs(run) if table is not None],
    }


def _pairs(run: Run) -> list[Table | None]:
    record = run.record
    about = [
        ("Outcome", record.get("outcome")),
        ("Started", record.get("startTime")),
        ("Finished", record.get("completionTime")),
        ("Host", record.get("host")),
        ("Digest of the configuration", record.get("digest")),
    ]
    return [
        pairs_table("Run", about),
        pairs_table("Hyperparameters as they were used", _flat(mapping(record.get("hyperparameters")))),
        pairs_table("What the addresses stood for", _flat(mapping(record.get("resolved")))),
        pairs_table("Versions", _flat(mapping(record.get("versions")))),
        pairs_table("Base model", _flat(mapping(run.classifier.get("baseModel")))),
    ]


def _flat(values: dict[str, Any], before: str = "") -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{before}{name}.")
        else:
            pairs.append((f"{before}{name}", value if not isinstance(value, list) else ", ".join(map(str, value))))
    return [pair for pair in pairs if pair[1] is not None]


def _temperature(run: Run) -> str:
    if run.classifier.get("calibrated") is False:
        return "Not calibrated: there were no validation rows, or hyperparameters.calibrate is false."
    by_label = mapping(run.classifier.get("temperatures"))
    known = [(str(name), found) for name, value in by_label.items() if (found := number(value)) is not None]
    one = number(run.classifier.get("temperature"))
    folded = "folded into the head that is saved"
    if known:
        said = ", ".join(f"{printable(name, 40)} {figure(value)}" for name, value in known[:_TEMPERATURES])
        more = f" and {len(known) - _TEMPERATURES:,} more" if len(known) > _TEMPERATURES else ""
        return f"A temperature a label, {folded}: {said}{more}."
    return "" if one is None else f"Temperature {figure(one)}, {folded}."
