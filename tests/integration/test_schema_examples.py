"""Every example is accepted as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier_operator.api import crdgen
from integration.schema_server import SchemaServer

pytestmark = pytest.mark.integration
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLURALS = {kind.kind: kind.plural for kind in crdgen.KINDS}


def manifests() -> list[Any]:
    files = sorted(EXAMPLES.glob("*.yaml"))
    assert files
    return [
        pytest.param(path.read_text(encoding="utf-8"), index, id=f"{path.stem}-{document['kind']}")
        for path in files
        for index, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        if document["kind"] in PLURALS
    ]


@pytest.mark.parametrize(("text", "index"), manifests())
def test_accepts_the_example(schema: SchemaServer, text: str, index: int) -> None:
    document = text.split("\n---\n")[index]
    assert yaml.safe_load(document)["apiVersion"] == "classifiers.dev/v1alpha1"
    schema.kubectl("apply", document.replace("classifiers.dev/", f"{schema.group}/"))
