"""Rows from where a configuration says they are, with what exactly was read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifier_trainer.config import Source
from classifier_trainer.data.load import load_dataset
from classifier_trainer.data.sources import Sources
from classifier_trainer.errors import UserError
from support.datasets import config, scratch
from support.hub_server import Hub, Repository, commit, running


def parquet(rows: int, offset: int = 0) -> bytes:
    features = {"label": {"_type": "ClassLabel", "names": ["bad", "good"]}, "text": {"_type": "Value"}}
    table = pa.table({"text": [f"text {offset + n}" for n in range(rows)], "label": [n % 2 for n in range(rows)]})
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def test_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "default/train/0000.parquet": parquet(30),
        "default/train/0001.parquet": parquet(10, 30),
        "default/test/0000.parquet": parquet(4, 100),
    }
    hub = Hub({"datasets/org/set": Repository({"main": {}, "refs/convert/parquet": files})})
    told: list[tuple[str, int, int | None]] = []
    with running(hub) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        uri = "hf://datasets/org/set"
        made = config(Path("/x"), trainDataset={"uri": uri}, testDataset={"uri": uri})
        sources = Sources({}, tmp_path / "downloads", lambda *step: told.append(step))
        found = load_dataset(made, sources, scratch(tmp_path))
    assert found.labels == ["bad", "good"]
    assert len(found.train) == 40
    assert found.train.prompts[35] == "text 35"
    assert found.test is not None
    assert found.test.prompts[:] == [f"text {n}" for n in range(100, 104)]
    assert sources.resolved == {uri: commit("refs/convert/parquet", files)}
    assert told[-1][0] == uri


def test_mounted_key_of_a_config_map(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("x")
    source = Source.model_validate({"configMap": {"name": "m", "key": "rows.jsonl"}, "format": "CSV"})
    found = Sources({"configmap://m/rows.jsonl": str(tmp_path / "rows.jsonl")}, tmp_path)(source, "trainDataset")
    assert (found.where, found.paths, found.format) == (
        "trainDataset 'configmap://m/rows.jsonl'",
        (tmp_path / "rows.jsonl",),
        "CSV",
    )
    with pytest.raises(UserError, match=r"trainDataset.configMap: 'configmap://m/rows.jsonl' is mounted only in a pod"):
        Sources({}, tmp_path)(source, "trainDataset")


def test_hub_is_only_for_the_hub(tmp_path: Path) -> None:
    source = Source.model_validate({"uri": "s3://b/k", "hub": {"split": "dev"}})
    with pytest.raises(UserError, match=r"trainDataset.hub is only for hf://datasets: leave it out with 's3://'"):
        Sources({}, tmp_path)(source, "trainDataset")
