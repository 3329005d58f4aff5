"""Model folders as the command line names them."""

from __future__ import annotations

from pathlib import Path

from classifier_artifacts.adapter import CONFIG_NAME
from classifier_artifacts.classifier_json import read_classifier_json
from classifier_artifacts.fetch import resolve
from classifier_artifacts.folder import ModelFolder, open_folder
from classifier_trainer.errors import UserError


def find(name: str, what: str) -> Path:
    """The folder or file `name`, a path or a URI.

    Raises:
        UserError: it does not exist.
    """
    if "://" in name:
        return resolve(name, {}, what=what)
    path = Path(name)
    if not path.exists():
        raise UserError(f"{what}: '{name}' does not exist: check the path.")
    return path


def open_model(name: str, base: str | None, what: str) -> ModelFolder:
    """Opens a model folder; the base model of an adapter is `base`, else the one that its classifier.json names.

    Raises:
        UserError: no model folder, or an adapter whose base cannot be found.
    """
    path = find(name, what)
    if not (path / CONFIG_NAME).is_file():
        return open_folder(path, name=name)
    return open_folder(path, find(base or _named_base(path, name), "--base"), name=name)


def _named_base(path: Path, name: str) -> str:
    classifier = read_classifier_json(path)
    reference = classifier.base_model if classifier else None
    if reference is None or reference.uri.startswith("pvc://"):
        wanted = f", which is {reference.uri}" if reference else ""
        raise UserError(f"'{name}' is an adapter: name its base model{wanted}: write --base URI.")
    pinned = reference.revision is not None and "@" not in reference.uri
    return f"{reference.uri}@{reference.revision}" if pinned else reference.uri
