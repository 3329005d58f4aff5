"""The figures of the serving benchmark, and what its peers are asked and answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers import infinity, ours, vllm
from bench.peers.setting import Setting
from bench.serve import Case, Found, figures

ONE, EIGHT = Case("", 1), Case("mixed", 8)


def found(rates: dict[Case, list[float]], ready: float, latency: float = 0.1) -> Found:
    return Found(ready={"warm": ready}, rates=rates, latencies={case: [latency] * 9 for case in rates}, own_cpu=[0.02])


def test_ratios_are_to_the_best_peer_of_each_comparison() -> None:
    rows = {
        row.key: row
        for row in figures(
            {
                "ours float32": found({ONE: [10, 30, 20]}, 5.0),
                "ours auto": found({ONE: [30, 31, 29]}, 4.0, latency=0.12),
                "vllm float32": found({ONE: [10, 11, 9]}, 40.0),
                "vllm bfloat16": found({ONE: [20, 20, 20]}, 41.0, latency=0.2),
                "infinity float32": found({ONE: [16, 16, 16]}, 20.0),
            },
            [ONE],
        )
    }
    assert rows["ratio_1_client"].value == 1.5
    assert rows["fp32_ratio_1_client"].value == 1.25
    # to the soonest of the peers, which need not be the fastest
    assert (rows["p99_ratio_1_client"].value, rows["p99_ratio_1_client"].kept) == (1.2, False)
    assert (rows["fp32_p99_ratio_1_client"].value, rows["fp32_p99_ratio_1_client"].kept) == (1.0, True)
    assert (rows["ready_warm_cache_s"].value, rows["ready_best_peer_s"].value) == (4.0, 20.0)
    assert rows["ready_warm_cache_s"].kept
    assert rows["ours_float32_1_per_s"].value == 20
    assert "ready_cold_cache_s" not in rows


def test_being_slower_is_told() -> None:
    measured = {"ours auto": found({EIGHT: [14]}, 9.0), "vllm bfloat16": found({EIGHT: [10]}, 8.5)}
    rows = {row.key: row for row in figures(measured, [EIGHT])}
    assert (rows["mixed_ratio_8_clients"].value, rows["mixed_ratio_8_clients"].kept) == (1.4, False)
    assert not rows["ready_warm_cache_s"].kept


PROBABILITIES = {"LABEL_0": 0.25, "LABEL_1": 0.75}
ANSWERS = {
    ours.NAME: {"data": [{"index": 0, "label": "LABEL_1", "probs": PROBABILITIES}]},
    vllm.NAME: {"data": [{"index": 0, "label": "LABEL_1", "probs": [0.25, 0.75], "num_classes": 2}]},
    infinity.NAME: {"data": [[{"score": 0.75, "label": "LABEL_1"}, {"score": 0.25, "label": "LABEL_0"}]]},
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_read_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (vllm, infinity):
        monkeypatch.setattr(module, "install", lambda: Path("/peer"))
    makers = {ours.NAME: ours.setting, vllm.NAME: vllm.setting, infinity.NAME: infinity.setting}
    setting: Setting = makers[name](Path("/model"), 1234, "float32")
    assert setting.probabilities(json.dumps(ANSWERS[name]).encode()) == PROBABILITIES
    request = setting.request("a text")
    assert request.endswith(json.dumps(setting.body("a text")).encode())
    assert b'"a text"' in request
    assert setting.address == ("127.0.0.1", 1234)
    assert "1234" in setting.command
