"""predict: classifies the rows of a file with a checkpoint, as the server would."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

from tqdm import tqdm

from classifier_artifacts.probabilities import predicted_mask, probabilities
from classifier_trainer.commands.folders import open_model
from classifier_trainer.compute import find_compute
from classifier_trainer.errors import UserError
from classifier_trainer.evaluate.predict import predict
from classifier_trainer.model.load import quiet_libraries
from classifier_trainer.model.served import load_served
from classifier_trainer.output.results import named

_ROWS = 1024
"""Rows that are sorted by length together, and the most that is in memory."""
_FIELDS = ("prompt", "input", "text")
_DEFAULT_MAX_LENGTH = 1024


def classify(
    file: str, model: str, to: Path | None, *, base: str | None, precision: Literal["Auto", "BFloat16", "Float32"]
) -> None:
    """Reads `file` (JSONL, or texts a line) and writes a JSON object a row to `to`, else to the standard output.

    Raises:
        UserError: no such file or model, or a row without a text.
    """
    quiet_libraries()
    opened = open_model(model, base, "--model")
    tokenizer = opened.load_tokenizer()
    compute = find_compute(precision)
    loaded = load_served(opened, compute)
    asked = opened.classifier.max_length if opened.classifier else None
    length = min(asked or _DEFAULT_MAX_LENGTH, tokenizer.model_max_length)
    pad = int(loaded.config.get_text_config().pad_token_id)
    thresholds = dict(opened.classifier.thresholds) if opened.classifier else {}
    with ExitStack() as stack:
        source = stack.enter_context(_reading(file)) if file != "-" else sys.stdin
        target = stack.enter_context(to.open("w", encoding="utf-8")) if to else sys.stdout
        bar = stack.enter_context(tqdm(total=_count(file), unit=" rows", file=sys.stderr, disable=None))
        rows = _prompts(source, file)
        while prompts := list(islice(rows, _ROWS)):
            ids = tokenizer(prompts, truncation=True, max_length=length)["input_ids"]
            ids = [row or [pad] for row in ids]  # an empty text without a template
            logits = predict(loaded, ids, pad=pad, compute=compute, progress=lambda _tokens: None)
            probs = probabilities(logits, opened.task)
            mask = predicted_mask(probs, thresholds, opened.task, opened.labels)
            for prompt, guess, values in zip(prompts, mask, probs, strict=True):
                predicted = [label for label, chosen in zip(opened.labels, guess, strict=True) if chosen]
                found = {
                    "prompt": prompt,
                    "predicted": predicted,
                    "probabilities": named(opened.labels, values.tolist()),
                }
                target.write(json.dumps(found, ensure_ascii=False) + "\n")
            target.flush()
            bar.update(len(prompts))


def _reading(file: str) -> TextIO:
    try:
        return Path(file).open(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"FILE: '{file}' cannot be read: {error.strerror}.") from None


def _count(file: str) -> int | None:
    """Lines, for the bar."""
    if file == "-" or not sys.stderr.isatty():
        return None
    with Path(file).open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def _prompts(source: TextIO, file: str) -> Iterator[str]:
    plain = file.endswith(".txt")
    try:
        for number, line in enumerate(source, start=1):
            if plain:
                yield line.rstrip("\r\n")
            elif line.strip():
                yield _prompt(line, f"FILE: '{file}' line {number}")
    except UnicodeDecodeError:
        raise UserError(f"FILE: '{file}' is not UTF-8: save it so.") from None


def _prompt(line: str, where: str) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        raise UserError(f'{where} is not JSON: write {{"prompt": "a text"}}, or name the file .txt.') from None
    if isinstance(row, str):
        return row
    found = [row[name] for name in _FIELDS if isinstance(row, dict) and isinstance(row.get(name), str)]
    if not found:
        raise UserError(f'{where} has no text: write {{"prompt": "a text"}}.')
    return str(found[0])
