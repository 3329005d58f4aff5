"""export: a plain Hugging Face folder of a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from classifier_trainer.commands.folders import open_model
from classifier_trainer.errors import UserError
from classifier_trainer.model.load import quiet_libraries
from classifier_trainer.output.atomic import new_folder, same_files


def export(checkpoint: str, to: Path, *, base: str | None, merge: bool) -> None:
    """Makes the folder `to` of `checkpoint`: an adapter merged in fp32, stored as its base model is, the head in fp32.

    Raises:
        UserError: no checkpoint, an adapter without `merge`, or `to` holds something.
    """
    quiet_libraries()
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        raise UserError(f"--to: '{to}' is not empty: name a new folder.")
    opened = open_model(checkpoint, base, "CHECKPOINT")
    if opened.kind == "adapter" and not merge:
        raise UserError(f"'{checkpoint}' is an adapter, which no plain folder can hold: write --merged.")
    target = to.absolute()
    with new_folder(target) as folder:
        if opened.kind == "adapter":
            # save_pretrained writes config.json, and must not write through a link.
            same_files(opened.path, folder, but=("adapter_*", "config.json", "test", "validation"))
            stored = opened.config.dtype
            opened.load_model(stored if isinstance(stored, torch.dtype) else torch.float32).save_pretrained(folder)
        else:
            same_files(opened.path, folder, but=("test", "validation"))
    print(f"{to}: {opened.task}, {len(opened.labels)} labels", file=sys.stderr)
