"""classifier.json: what a checkpoint says about itself beyond the Hugging Face files beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from classifier_artifacts.errors import UserError

FILE_NAME = "classifier.json"

Task = Literal["Binary", "Multiclass", "Multilabel"]


class _Part(BaseModel):
    # Fields of a later version are ignored, so that an older server reads a newer checkpoint.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class BaseModelReference(_Part):
    """The base model that a checkpoint was trained from."""

    uri: str
    digest: str
    """`sha256:<hex>` of `folder.folder_digest`."""
    revision: str | None = None
    """Commit on the hub, where the base model came from there."""


class ClassifierJson(_Part):
    """Content of classifier.json."""

    version: str = "v1alpha1"
    task: Task
    labels: list[str] = Field(min_length=1)
    """In the order of the output logits; Binary has one, the positive label, though it has two logits."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Probability from which a label counts as predicted (Binary, Multilabel); empty for Multiclass."""
    temperature: float = Field(default=1.0, gt=0)
    """Informational: the saved head is already divided by it."""
    temperatures: dict[str, float] = Field(default_factory=dict)
    """The same for Multilabel: the row of each label is already divided by its own."""
    calibrated: bool = False
    """Whether temperature and thresholds were fitted on validation rows."""
    base_model: BaseModelReference | None = None
    max_length: int | None = Field(default=None, ge=1)
    """Tokens of a row, the template's included; longer texts are cut."""
    template: str | None = None
    """What stands around a row's `{prompt}`; informational: the tokenizer applies it."""
    technique: str = "SFT"
    method: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.task == "Binary" and len(self.labels) != 1:
            raise ValueError("task Binary has exactly one label, the positive one")
        for name, part in (("thresholds", self.thresholds), ("temperatures", self.temperatures)):
            if unknown := sorted(set(part) - set(self.labels)):
                raise ValueError(f"{name} name the unknown label '{unknown[0]}'")
        return self


def read_classifier_json(folder: Path) -> ClassifierJson | None:
    """Reads classifier.json of a checkpoint; None where there is none (a foreign folder).

    Raises:
        UserError: the file is there and is not a classifier.json.
    """
    path = folder / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{FILE_NAME} of the checkpoint cannot be read: {error.strerror}.") from error
    try:
        return ClassifierJson.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its content"
        raise UserError(f"{FILE_NAME} of the checkpoint is not valid at {where}: {first['msg']}.") from error


def write_classifier_json(folder: Path, value: ClassifierJson) -> None:
    """Writes classifier.json into `folder`, whole or not at all."""
    content = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    content["template"] = value.template
    for empty in [name for name in ("thresholds", "temperatures") if not content[name]]:
        del content[empty]
    path = folder / FILE_NAME
    temporary = path.with_name(f".{FILE_NAME}.{os.getpid()}")
    temporary.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
