"""What the benchmarks of sleep and wake stand on: a namespace of the installed cluster, and deployments to ask."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import localcluster
from classifier_operator.errors import KubeError
from classifier_operator.kube.client import KubeClient
from classifier_operator.kube.resources import DEPLOYMENTS, SERVICES
from support import fast_server, install, kube
from support.caller import Caller
from support.claim import fill_claim, folder_files
from support.control_plane import Cluster, eventually
from support.traffic import Ask, Promise

Manifest = dict[str, Any]

TEXTS = (
    "Grain shipments rose by four percent in March.",
    "Oil prices fell, and fell again.",
    "The company will acquire all shares of its rival.",
)


class Model(Protocol):
    """What is served, and what is a right answer of it."""

    def manifest(self, name: str, **spec: Any) -> Manifest:
        """A ClassifierDeployment."""

    def question(self, draw: random.Random) -> Ask:
        """A request whose right answer is known."""

    async def learn(self, url: str) -> None:
        """Gets to know the right answers from a deployment that is awake."""


@dataclass(frozen=True)
class FastModel:
    """The image of support.fast_server."""

    image: str
    load_seconds: float = 0.0
    batch_seconds: float = 0.0

    def manifest(self, name: str, **spec: Any) -> Manifest:
        return fast_server.deployment(
            name, self.image, load_seconds=self.load_seconds, batch_seconds=self.batch_seconds, **spec
        )

    def question(self, draw: random.Random) -> Ask:
        return fast_server.question(draw)

    async def learn(self, url: str) -> None:
        """Nothing: the answers follow from the questions."""


@dataclass
class RealModel:
    """A random tiny Llama on a claim, in the server's own image; what it says first is right from then on."""

    uri: str
    answers: dict[str, dict[str, float]] = field(default_factory=dict)

    def manifest(self, name: str, **spec: Any) -> Manifest:
        default = {"model": {"uri": self.uri}, "resources": {"requests": {"cpu": "10m", "memory": "256Mi"}}}
        return {
            "apiVersion": "classifiers.dev/v1alpha1",
            "kind": "ClassifierDeployment",
            "metadata": {"name": name},
            "spec": default | spec,
        }

    def question(self, draw: random.Random) -> Ask:
        text = draw.choice(TEXTS)
        return Ask(json.dumps({"input": text}).encode(), lambda body: is_close(probabilities(body), self.answers[text]))

    async def learn(self, url: str) -> None:
        async with Caller() as caller:
            for text in TEXTS:
                answered = await caller.ask(url, self._first(text), Promise(tries=5))
                assert answered.kept, answered
        assert len({tuple(each.values()) for each in self.answers.values()}) == len(TEXTS)

    def _first(self, text: str) -> Ask:
        """Asks for the answer that is right from then on."""

        def remember(body: bytes) -> bool:
            self.answers[text] = probabilities(body)
            return bool(self.answers[text])

        return Ask(json.dumps({"input": text}).encode(), remember)


def probabilities(body: bytes) -> dict[str, float]:
    """Those of the first text of an answer; empty if it is none."""
    try:
        found: dict[str, float] = json.loads(body)["data"][0]["probs"]
    except (ValueError, LookupError, TypeError):
        return {}
    return found


def is_close(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether both say the same, as far as the number format of the model and the make-up of batches allow."""
    return bool(one) and one.keys() == other.keys() and all(abs(one[key] - other[key]) <= 0.04 for key in one)


@dataclass
class Scene:
    """One namespace, and the way to it."""

    client: KubeClient
    cluster: Cluster
    references: dict[str, str]

    async def apply(self, manifests: Sequence[Manifest], *, parallel: int = 20) -> None:
        """Creates ClassifierDeployments."""
        slots = asyncio.Semaphore(parallel)

        async def one(manifest: Manifest) -> None:
            async with slots:
                await self.cluster.create(DEPLOYMENTS, manifest)

        await asyncio.gather(*(one(manifest) for manifest in manifests))

    async def statuses(self) -> dict[str, Manifest]:
        return {each["metadata"]["name"]: each.get("status") or {} for each in await self.cluster.list(DEPLOYMENTS)}

    async def until_phase(self, names: Sequence[str], phases: Sequence[str], *, seconds: float) -> None:
        """Waits until all of them are in one of these phases. Raises AssertionError with those that are not."""

        async def check() -> bool:
            statuses = await self.statuses()
            others.clear()
            others.update({name: statuses[name].get("phase", "") for name in names})
            return all(phase in phases for phase in others.values())

        others: dict[str, str] = {}
        try:
            await eventually(f"all are {' or '.join(phases)}", check, seconds=seconds, pause=1.0)
        except AssertionError as error:
            statuses = await self.statuses()
            late = [f"{name}: {statuses[name]}" for name, phase in others.items() if phase not in phases]
            raise AssertionError(
                f"{len(late)} of {len(names)} are not {phases} after {seconds} s: {late[:3]}"
            ) from error

    async def url(self, name: str) -> str:
        """Where a Service is reached from this machine: at its ClusterIP."""

        async def address() -> str | None:
            service = await self.cluster.find(SERVICES, name)
            if service is None:
                return None
            return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

        found: str = await eventually(f"a Service {name}", address, seconds=60, pause=0.2)
        return found

    async def claim(self) -> str:
        """A claim called `models` with the random tiny Llama `tiny`; the address of that."""
        from support.server_models import llama_folder  # imports torch, which takes a while

        with tempfile.TemporaryDirectory() as folder:
            llama_folder(Path(folder) / "tiny", suffix=None)
            files = folder_files(Path(folder), ".")
            image, namespace = self.references["trainer"], self.cluster.namespace
            await asyncio.to_thread(fill_claim, "models", files, image=image, namespace=namespace, size="1Gi")
        return "pvc://models/tiny"


@asynccontextmanager
async def scene(prefix: str, *, connections: int = 100) -> AsyncIterator[Scene]:
    """A namespace of its own that enforces the restricted Pod Security Standard; it goes at the end."""
    references = installed()
    client = await KubeClient.connect(
        connections=connections, kubeconfig=str(localcluster.kubeconfig_path(control_plane=False))
    )
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    try:
        await asyncio.to_thread(kube.ensure_namespace, name)
        yield Scene(client, Cluster(client, name), references)
    finally:
        try:
            await client.request("DELETE", f"/api/v1/namespaces/{name}")
        except KubeError as error:
            print(f"namespace {name} is left: {error}", file=sys.stderr)
        await client.close()


def installed() -> dict[str, str]:
    """The image references of the tree, which must be those that the cluster runs."""
    wanted = install.image_references()
    try:
        deployment = kube.get("deployment", install.RELEASE, install.NAMESPACE)
    except kube.CommandError as error:
        sys.exit(f"the operator is not installed (run make install): {error}")
    running = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    if running != wanted["operator"]:
        sys.exit(f"the cluster runs {running}, and the tree is {wanted['operator']}: run make install")
    return wanted
