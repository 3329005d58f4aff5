"""Thousands of malformed requests over all dialects, in this process: `make bench NAME=serve_malformed [COUNT] [SEED]`.

Prints the seeds whose answers are not what a dialect may give, and ends with 1 if there are any.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

import httpx
from tokenizers import Tokenizer, models, pre_tokenizers

from classifier_server.app import build_app
from classifier_server.classifier import Classifier, LabelSet
from classifier_server.config import parse
from classifier_server.engine import Engine
from classifier_server.metrics import Metrics
from classifier_server.state import ServerState
from classifier_server.tokenization import TextEncoder
from support.fake_backend import FakeBackend
from support.malformed_requests import make_request
from support.refusals import mistakes_in

LABELS = ("a", "b", "c")


async def run(count: int, first: int) -> int:
    """The number of mistakes."""
    document = {"version": "v1alpha1", "name": "r8", "checkpoint": "epoch-3", "model": {"uri": "pvc://out/model"}}
    state, metrics = ServerState(parse(document, "here")), Metrics()
    engine = Engine(FakeBackend(labels=len(LABELS)), max_queue=512, observer=metrics)
    engine.start()
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    labels = LabelSet("Multilabel", LABELS, LABELS, {})
    state.loaded(Classifier(labels, TextEncoder(tokenizer, 8), engine, metrics))
    statuses: Counter[int] = Counter()
    found = 0
    begun = time.monotonic()
    transport = httpx.ASGITransport(build_app(state, metrics), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        for seed in range(first, first + count):
            request = make_request(seed)
            answer = await client.post(request.path, content=request.body, headers=request.headers)
            statuses[answer.status_code] += 1
            for mistake in mistakes_in(request, answer):
                found += 1
                print(f"seed {seed}: {mistake}")
    engine.close()
    told = ", ".join(f"{statuses[status]} x {status}" for status in sorted(statuses))
    print(f"{count} requests in {time.monotonic() - begun:.0f} s: {told}; {found} mistakes")
    return found


if __name__ == "__main__":
    arguments = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(run(*(arguments + [10_000, 100_000][len(arguments) :]))) > 0)
