"""Secrets with API keys, read from a real API server: seldom, and safely where it does not answer."""

from __future__ import annotations

import base64
import hashlib

import pytest

from classifier_operator.controller.api_keys import ApiKeys
from classifier_operator.kube.client import KubeClient
from classifier_operator.kube.resources import SECRETS
from classifier_operator.plan.types import KeysView
from support.builders import deployment
from support.control_plane import Cluster
from support.cut_proxy import CutProxy
from support.fake_clock import FakeClock

pytestmark = pytest.mark.integration


class Reader:
    """One deployment whose keys are read through a network that breaks."""

    def __init__(self, cluster: Cluster, client: KubeClient) -> None:
        self.cluster = cluster
        self.clock = FakeClock()
        self.keys = ApiKeys(client, monotonic=self.clock.monotonic)

    async def read(self, name: str | None = "keys") -> KeysView | None:
        auth = {"apiKeySecretName": name} if name else None
        return await self.keys.read(deployment(metadata={"namespace": self.cluster.namespace}, auth=auth))

    async def put(self, *keys: str, name: str = "keys") -> None:
        data = {f"k{number}": base64.b64encode(key.encode()).decode() for number, key in enumerate(keys)}
        if await self.cluster.find(SECRETS, name) is not None:
            await self.cluster.delete(SECRETS, name)
        await self.cluster.create(SECRETS, {"metadata": {"name": name}, "data": data})


@pytest.fixture
def reader(cluster: Cluster, shaky: KubeClient) -> Reader:
    return Reader(cluster, shaky)


def view(*keys: str) -> KeysView:
    return KeysView(tuple(sorted(hashlib.sha256(key.encode()).hexdigest() for key in keys)))


async def test_a_change_is_seen_after_a_while(reader: Reader) -> None:
    assert await reader.read(None) is None
    await reader.put("one")
    assert await reader.read() == view("one")
    await reader.put("one", "two")
    reader.clock.advance(19)
    assert await reader.read() == view("one"), "it is not read each time"
    reader.clock.advance(2)
    assert await reader.read() == view("one", "two")
    await reader.put("three", name="others")
    assert await reader.read("others") == view("three"), "another name is read at once"
    assert await reader.read(None) is None


async def test_a_secret_that_is_missing_or_goes_closes(reader: Reader) -> None:
    missing = await reader.read()
    assert missing is not None
    assert missing.digests == ()
    assert missing.problem == (
        f"auth.apiKeySecretName: there is no Secret keys in namespace {reader.cluster.namespace}; "
        "until then nobody may ask"
    )
    await reader.put("one")
    reader.clock.advance(21)
    assert await reader.read() == view("one")
    await reader.cluster.delete(SECRETS, "keys")
    reader.clock.advance(21)
    assert await reader.read() == missing


async def test_what_cannot_be_read_is_trusted_for_a_minute_and_never_opens(reader: Reader, proxy: CutProxy) -> None:
    await reader.put("one")
    assert await reader.read() == view("one")
    proxy.refusing = True
    proxy.cut()
    reader.clock.advance(59)
    assert await reader.read() == view("one")
    reader.clock.advance(2)
    closed = await reader.read()
    assert closed is not None
    assert closed.digests == ()
    assert closed.problem is not None
    assert "auth.apiKeySecretName: Secret keys cannot be read: " in closed.problem
    other = await reader.read("others")
    assert other is not None
    assert other.digests == (), "of another one nothing is known"
    proxy.refusing = False
    assert await reader.read() == view("one")
