"""The rows of the table that show the playground."""

from __future__ import annotations

from collections.abc import Mapping

from classifier_server.dialects.dialect import Facts, Rendered
from classifier_server.playground.card import card
from classifier_server.playground.files import load, serve
from classifier_server.routes import Look, Row
from classifier_server.state import ServerState


def rows(state: ServerState) -> list[Row]:
    """The paths of the page: open are its files, which know nothing of the model."""
    files = load()

    def index(_: Facts, __: Mapping[str, str]) -> Rendered:
        return serve(files, "index.html")

    def file(_: Facts, path: Mapping[str, str]) -> Rendered:
        return serve(files, path["name"])

    def model_card(facts: Facts, _: Mapping[str, str]) -> Rendered:
        return card(facts, state.classifier)

    return [
        Look("/", index, "The playground", open=True, media_type="text/html", hidden=True),
        Look("/playground/{name}", file, "A file of the playground", open=True, hidden=True),
        Look("/model-card.json", model_card, "The model: labels, thresholds, and how it did in its test", hidden=True),
    ]
