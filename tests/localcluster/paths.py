"""Where things lie: everything is outside the tree, under one cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder that `CLASSIFIER_CACHE` names, by default ~/.cache/classifier-operator."""
    return Path(os.environ.get("CLASSIFIER_CACHE") or "~/.cache/classifier-operator").expanduser().resolve()


def repository() -> Path:
    """The root of the tree that this package stands in."""
    return Path(__file__).resolve().parents[2]


def state_dir(control_plane: bool = False) -> Path:
    """What belongs to one running cluster and goes with it."""
    return cache_dir() / ("control-plane" if control_plane else "cluster")


def build_store() -> Path:
    """Buildah's storage, apart from the user's own."""
    return cache_dir() / "buildah"
