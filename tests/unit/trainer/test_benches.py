"""The benchmarks of training run, on tiny models: nobody finds out on the day of the measurement that they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def quick(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCH / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    ("name", "flag", "keys"),
    [
        (
            "train_speed",
            "--quick",
            {"lora_ratio_dynamic_padding", "lora_ratio_padding_128", "head_only_ratio", "lora_accuracy"},
        ),
        ("train_gpu", "--tiny", {"tokens_per_second", "trainer_tokens_per_second", "ratio"}),
    ],
)
def test_quick(name: str, flag: str, keys: set[str]) -> None:
    figures = json.loads(quick(name, flag).splitlines()[-1])
    assert keys <= figures.keys()
    assert all(value > 0 for value in figures.values())


def test_without_a_gpu_it_says_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "there is no GPU here" in quick("train_gpu")
