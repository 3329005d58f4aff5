"""Data sets of the hub: their Parquet form, or the files that a glob names, at one commit."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.hf_api import DatasetInfo

from classifier_artifacts.errors import UserError
from classifier_artifacts.fetch.base import Fetched, Progress
from classifier_artifacts.fetch.hub import cache, endpoint, errors, token

_URI = re.compile(
    r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>refs/(?:convert|pr)/[\w.-]+|[^/]+))?(?:/(?P<glob>.+))?"
)
_PARQUET_FORM = "refs/convert/parquet"
_ROWS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_PACKED = (".gz", ".zst")
_NOT_ROWS = ("dataset_infos.json", "dataset_info.json", "state.json", "config.json")
_SHOWN = 10


def fetch_dataset(uri: str, what: str, config: str | None, split: str, progress: Progress | None) -> Fetched:
    """The files of a split, in the order of their names, from the hub's cache.

    Raises:
        UserError: there is no such data set, revision, configuration, split or file, or it may not be read.
        TransientError: the hub cannot be reached.
    """
    match = _URI.fullmatch(uri.rstrip("/"))
    if match is None:
        raise UserError(
            f"{what}: '{uri}' does not name a data set of the hub: write hf://datasets/org/name[@revision][/glob]."
        )
    repo, revision = match["repo"], match["revision"]
    with errors(uri, what, revision):
        info = _info(repo, revision, whole=match["glob"] is not None)
        sizes = {entry.rfilename: entry.size for entry in info.siblings or []}
        if match["glob"] is not None:
            names = fnmatch.filter(sizes, match["glob"])
            if not names:
                raise UserError(f"{what}: '{uri}' has no file that matches '{match['glob']}': {_some(sizes)}.")
        else:
            names = choose(list(sizes), config, split, uri, what)
        names = sorted(names)
        total = sum(sizes[name] or 0 for name in names)
        paths, done = [], 0
        for name in names:
            paths.append(
                Path(
                    hf_hub_download(
                        repo,
                        name,
                        repo_type="dataset",
                        revision=info.sha,
                        token=token(),
                        endpoint=endpoint(),
                        cache_dir=cache(),
                    )
                )
            )
            done += sizes[name] or 0
            if progress is not None:
                progress(done, total or None)
    return Fetched(uri, tuple(paths), info.sha)


def _info(repo: str, revision: str | None, *, whole: bool) -> DatasetInfo:
    """The files of the data set's Parquet form if the hub made one, else of the data set itself."""
    api = HfApi(endpoint=endpoint(), token=token())
    if revision is None and not whole:
        try:
            found = api.dataset_info(repo, revision=_PARQUET_FORM, files_metadata=True)
            if any(entry.rfilename.endswith(".parquet") for entry in found.siblings or []):
                return found
        except RevisionNotFoundError:
            pass
    return api.dataset_info(repo, revision=revision, files_metadata=True)


def choose(names: Sequence[str], config: str | None, split: str, uri: str, what: str) -> list[str]:
    """The files of a configuration and a split, by the names that data sets give their files.

    The hub's Parquet form is `config/split/0000.parquet`; by hand people write `data/train-00000-of-00002.parquet`,
    `config/train.jsonl` or `train.csv`.

    Raises:
        UserError: there is no such configuration or split, with those that there are.
    """
    files = [name for name in names if _is_rows(name)]
    # One form of the rows: where there is Parquet, other files are the same rows, or none.
    parquet = [name for name in files if name.endswith(".parquet")]
    files = parquet or files
    if not files:
        raise UserError(f"{what}: '{uri}' has no file of rows ({', '.join(_ROWS)}): {_some(names)}.")
    configs = _configs(files)
    if config is not None:
        if config not in configs:
            known = f"it has {', '.join(sorted(configs)[:_SHOWN])}" if configs else "it has none"
            raise UserError(f"{what}: '{uri}' has no configuration '{config}': {known}; write hub.config.")
        files = [name for name in files if config in PurePosixPath(name).parts[:-1]]
    elif len(configs) > 1:
        first = "default" if "default" in configs else sorted(configs)[0]
        files = [name for name in files if first in PurePosixPath(name).parts[:-1]]
    found = [name for name in files if split in _splits(name)]
    if not found and len(files) == 1 and split == "train":
        found = files
    if not found:
        known = ", ".join(sorted({part for name in files for part in _splits(name)})[:_SHOWN])
        raise UserError(f"{what}: '{uri}' has no split '{split}': it has {known}; write hub.split, or a glob.")
    return found


def _is_rows(name: str) -> bool:
    path = PurePosixPath(name)
    stem = path.name.removesuffix(path.suffix) if path.suffix in _PACKED else path.name
    return stem.endswith(_ROWS) and path.name not in _NOT_ROWS and not any(p.startswith(".") for p in path.parts)


def _configs(files: Sequence[str]) -> set[str]:
    """First folders that are no splits themselves and not `data`, where all splits lie."""
    found = {PurePosixPath(name).parts[0] for name in files if "/" in name}
    return {name for name in found if name != "data" and name not in ("train", "test", "validation")}


def _splits(name: str) -> set[str]:
    """The splits that a file may be of: its folders (`partial-train` of a large set), and how its name begins."""
    path = PurePosixPath(name)
    begins = re.match(r"[A-Za-z_]+", path.name)
    folders = {part.removeprefix("partial-") for part in path.parts[1 if len(path.parts) > 2 else 0 : -1]}
    return {part for part in folders if part != "data"} | ({begins[0].rstrip("_")} if begins else set())


def _some(names: object) -> str:
    found = sorted(names) if isinstance(names, list | dict) else []
    return f"it has {', '.join(found[:_SHOWN]) + (', …' if len(found) > _SHOWN else '') if found else 'no files'}"
