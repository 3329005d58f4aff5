"""An image of the real server with a made-up model, and deployments of it.

It stands in for the model only: HTTP, queue, probes, drain and the whole life of the process are the server's own
(support.fake_server). It imports no torch and is ready a second after its start, so that hundreds of rounds of sleep
and wake fit on two cores. The answer to a text follows from its number of words, so that a right answer is known
without asking. `localcluster images` does not build it; whoever needs it calls `ensure_image`.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from localcluster.images import commands
from localcluster.images.contexts import Recipe
from support.traffic import Ask

NAME = "fast-server"
MODEL = "file:///made-up"
"""The address of a model that nobody reads."""
_SUPPORT = Path(__file__).resolve().parent
_CODE = ("fake_server.py", "fake_backend.py")
_MOST_WORDS = 60
"""The made-up model reads 64 tokens, one a word."""
_TOLERANCE = 1e-4


def ensure_image() -> str:
    """Builds the image on the server's, unless it is there, and takes it into the cluster; its reference."""
    recipe = Recipe(wheels=commands.wheels_folder(None))
    with tempfile.TemporaryDirectory() as folder:
        reference = commands.build_on("server", NAME, context(Path(folder)), recipe)
    commands.load([reference], recipe)
    return reference


def context(folder: Path) -> Path:
    """Lays the build's files out in a folder, readable for any user; returns it."""
    shutil.copyfile(_SUPPORT / NAME / "Dockerfile", folder / "Dockerfile")
    code = folder / "support"
    code.mkdir()
    for name in _CODE:
        shutil.copyfile(_SUPPORT / name, code / name)
    for path in (folder, code):
        path.chmod(0o755)
    for path in (folder / "Dockerfile", *code.iterdir()):
        path.chmod(0o644)
    return folder


def deployment(
    name: str, image: str, *, load_seconds: float = 0.0, batch_seconds: float = 0.0, **spec: Any
) -> dict[str, Any]:
    """A ClassifierDeployment of the image.

    Args:
        load_seconds: how long its model takes to load.
        batch_seconds: how long it computes for each batch.
    """
    variables = {"FAKE_LOAD_SECONDS": load_seconds, "FAKE_BATCH_SECONDS": batch_seconds}
    default = {
        "model": {"uri": MODEL},
        "image": image,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "podTemplate": {
            "spec": {"env": [{"name": key, "value": str(value)} for key, value in variables.items() if value]}
        },
    }
    return {
        "apiVersion": "classifiers.dev/v1alpha1",
        "kind": "ClassifierDeployment",
        "metadata": {"name": name},
        "spec": default | spec,
    }


def question(draw: random.Random, **headers: str) -> Ask:
    """A request of a random length, which has a right answer of its own."""
    return ask(draw.randint(1, _MOST_WORDS), **headers)


def ask(words: int, **headers: str) -> Ask:
    """A request of so many words."""
    return Ask(json.dumps({"input": " ".join(["word"] * words)}).encode(), lambda body: is_right(body, words), headers)


def is_right(body: bytes, words: int) -> bool:
    """Whether this is the answer to a text of so many words: the logits are 0 and a hundredth of their number."""
    try:
        probability = json.loads(body)["data"][0]["probs"]["b"]
    except (ValueError, LookupError, TypeError):
        return False
    return math.isclose(probability, 1 / (1 + math.exp(-words / 100)), abs_tol=_TOLERANCE)
