"""From the sources that a configuration names to files on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from classifier_artifacts.fetch import fetch_data
from classifier_trainer.config import Columns, Hub, Source
from classifier_trainer.data.source import DataFiles
from classifier_trainer.errors import UserError

Told = Callable[[str, int, int | None], None]
"""Told the URI that is downloaded, the bytes that are here, and of how many if that is known."""


class Sources:
    """Fetches each source into `folder`; `resolved` says for run.json what exactly it was (a commit, a digest)."""

    def __init__(self, mounts: Mapping[str, str], folder: Path, progress: Told | None = None) -> None:
        self.resolved: dict[str, str] = {}
        self._mounts = mounts
        self._folder = folder
        self._progress = progress

    def __call__(self, source: Source, field: str) -> DataFiles:
        """The files of a source; `field` is its name in the configuration.

        Raises:
            UserError: the source does not exist, or may not be read.
            TransientError: what may pass.
        """
        uri = source.address or ""
        what = f"{field}.uri" if source.uri is not None else f"{field}.configMap"
        if source.hub is not None and not uri.startswith("hf://"):
            raise UserError(f"{field}.hub is only for hf://datasets: leave it out with '{uri.partition('://')[0]}://'.")
        hub = source.hub or Hub()
        told = self._progress
        fetched = fetch_data(
            uri,
            self._mounts,
            what=what,
            config=hub.config,
            split=hub.split or ("test" if field == "testDataset" else "train"),
            folder=self._folder,
            progress=None if told is None else lambda done, total: told(uri, done, total),
        )
        if fetched.version is not None:
            self.resolved[fetched.uri] = fetched.version
        return DataFiles(field, fetched.uri, fetched.paths, source.format, source.columns or Columns())
