"""How good and how well calibrated the classifiers are that default hyperparameters make, beside TF-IDF + linear SVM.

Run by hand: `make bench NAME=quality`. Hours of CPU: every finished run leaves a record in the cache, the next call
goes on with those that are missing, and the tables are written anew after each. `--fresh` forgets the records.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from bench.quality_figures import mean_difference, micro_f1_difference, standard_error  # noqa: E402
from bench.quality_runs import finished, folder, measure  # noqa: E402
from bench.quality_sets import Case, cases  # noqa: E402
from bench.report import Row, write  # noqa: E402

COMMAND = "make bench NAME=quality"
Records = Sequence[Mapping[str, Any]]

ACCURACY = {
    "r8_minilm": ("r8_600_minilm", 0.955),
    "r8_smollm2": ("r8_600", 0.945),
    "rotten_tomatoes_smollm2": ("rotten_tomatoes_4000", 0.85),
}
"""Figure and bound of each case that is judged by its accuracy."""
SVM = {"r8_minilm": "r8_600_svm", "rotten_tomatoes_smollm2": "rotten_tomatoes_4000_svm"}
CALIBRATION = {"r8_minilm": "r8_ece", "rotten_tomatoes_smollm2": "rotten_tomatoes_ece"}
"""R8 by its full test set, since a calibration error of 600 rows is mostly noise."""
MOST_ERROR = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("--only", metavar="CASE", action="append", help="measure only these, and report what there is")
    options = parser.parse_args()
    with _alone():
        if options.fresh:
            for path in folder().glob("*.json"):
                path.unlink()
        for case in cases():
            for split in range(1, case.splits + 1):
                if finished(case, split) is None and (options.only is None or case.name in options.only):
                    print(f"{case.title}, split {split} of {case.splits}", flush=True)
                    record = measure(case, split)
                    print(f"   accuracy {record['accuracy']:.4f} in {record['seconds']:.0f} s", flush=True)
                    report()
        report()


@contextmanager
def _alone() -> Iterator[None]:
    """Two at once would take each other's CPUs, and the folder of the run under way."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another run of this benchmark holds {folder()}: wait for its end")
        yield


def report() -> None:
    """Writes both tables of what was measured so far."""
    found = {
        case: [record for split in range(1, case.splits + 1) if (record := finished(case, split))] for case in cases()
    }
    there = {case: records for case, records in found.items() if records}
    if not there:
        return
    rows: list[Row] = []
    notes = ["Default hyperparameters, the same for all sets; each set's maximal length is the default's too."]
    for case, records in there.items():
        rows += _quality(case, records)
        notes.append(_note(case, records))
    write("quality", title="Quality", command=COMMAND, rows=rows, notes=notes)
    calibration = [row for case, records in there.items() for row in _calibration(case, records)]
    if calibration:
        write("calibration", title="Calibration", command=COMMAND, rows=calibration, notes=_log_losses(there))


def _quality(case: Case, records: Records) -> list[Row]:
    of = f"{case.title}, {len(records)} of {case.splits} splits"
    if case.name in ACCURACY:
        key, bound = ACCURACY[case.name]
        mean = _mean(records, "accuracy")
        rows = [Row(key, f"{of}: accuracy", mean, "", f"≥ {bound}", mean >= bound)]
        if case.name in SVM:
            svm = round(float(np.mean([record["svm"]["accuracy"] for record in records])), 4)
            rows.append(Row(SVM[case.name], "the same rows: TF-IDF + linear SVM", svm))
        return rows
    ours, svm = _mean(records, "micro_f1"), round(float(np.mean([record["svm"]["micro_f1"] for record in records])), 4)
    plain = case.name == "newsgroups_smollm2"
    suffix = "" if plain else f"_{case.model}"
    return [
        Row(f"newsgroups_multilabel_micro_f1{suffix}", f"{of}: micro-F1", ours, "", "above the SVM", ours > svm),
        Row(f"newsgroups_multilabel_svm_micro_f1{suffix}", "the same rows: TF-IDF + linear SVM", svm),
    ]


def _note(case: Case, records: Records) -> str:
    if case.name in ACCURACY:
        ours = np.array([record["right"] for record in records], dtype=float)
        svm = np.array([record["svm"]["right"] for record in records], dtype=float)
        difference = f"accuracy less the SVM's, paired, {mean_difference(ours, svm)}"
    else:
        counts = np.array(records[0]["counts"]), np.array(records[0]["svm"]["counts"])
        difference = f"micro-F1 less the SVM's, paired, {micro_f1_difference(*counts)}"
    each = ", ".join(
        f"{record['accuracy']:.4f} ({' '.join(f'{value:.4f}' for value in record['epochs'].values())}; "
        f"best {record['best']}; {record['seconds']:.0f} s; at {record['commit']})"
        for record in records
    )
    return f"{case.title}: {difference}; accuracy (by epoch) of each split {each}"


def _calibration(case: Case, records: Records) -> list[Row]:
    if case.name not in CALIBRATION:
        return []
    key, error = CALIBRATION[case.name], _mean(records, "ece")
    return [
        Row(key, f"{case.title}: equal-mass calibration error", error, "", f"≤ {MOST_ERROR}", error <= MOST_ERROR),
        Row(f"{key}_before", "the same before calibration", _mean(records, "ece_before")),
    ]


def _log_losses(there: Mapping[Case, Records]) -> list[str]:
    notes = []
    for case, records in there.items():
        for record in records:
            after, before = np.array(record["log_losses"]), np.array(record["log_losses_before"])
            error = standard_error(after - before) if (after != before).any() else 0.0
            worse = float((after - before).mean())
            kept = "not worse" if worse <= error else "WORSE by more than one standard error"
            notes.append(
                f"{case.title}, split {record['split']}: log loss {before.mean():.4f} before, {after.mean():.4f} after "
                f"(difference {worse:+.4f}, standard error {error:.4f}: {kept}); temperature "
                f"{', '.join(f'{value:.2f}' for value in record['temperature'][:4])}"
            )
    return notes


def _mean(records: Records, key: str) -> float:
    return round(float(np.mean([record[key] for record in records])), 4)


if __name__ == "__main__":
    main()
