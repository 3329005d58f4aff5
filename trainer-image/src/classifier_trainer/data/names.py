"""How the columns of a source are called."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from classifier_trainer.config import Columns
from classifier_trainer.data.faults import shown

PROMPTS = ("prompt", "input", "text")
COMPLETIONS = ("completion", "expected_output", "label")
_SHOWN = 10


@dataclass(frozen=True)
class Names:
    """The column of the texts, and that of the labels, or a column a label."""

    prompt: str
    completion: str
    labels: list[str] | None

    @property
    def needed(self) -> list[str]:
        """All columns that are read."""
        return [self.prompt, *(self.labels if self.labels is not None else [self.completion])]


def find_names(columns: Columns, present: Collection[str]) -> Names:
    """The names as the configuration says, else the first usual ones that are present, else prompt and completion."""
    prompt = columns.prompt or next((name for name in PROMPTS if name in present), PROMPTS[0])
    completion = columns.completion or next((name for name in COMPLETIONS if name in present), COMPLETIONS[0])
    return Names(prompt, completion, list(columns.labels) if columns.labels is not None else None)


def missing(names: Names, present: Collection[str]) -> str:
    """What a file with a header lacks, as the rest of a sentence about it; empty if nothing."""
    absent = [name for name in names.needed if name not in present]
    if not absent:
        return ""
    some = ", ".join(shown(name) for name in list(present)[:_SHOWN]) + (", …" if len(present) > _SHOWN else "")
    return (
        f"has no column {' and '.join(shown(name) for name in absent[:_SHOWN])}: it has {some or 'none'}; "
        "say by columns: {prompt: …, completion: …} which ones to read"
    )
