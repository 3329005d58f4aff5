"""The operator's process: Kopf watches the two kinds, and every event of theirs goes into the cache and the queue.

Run with `kopf run --standalone --all-namespaces --liveness=http://0.0.0.0:8080/healthz -m classifier_operator.main`.
"""

import gc
import logging
import os
from typing import Any

import kopf

from classifier_operator.api import names
from classifier_operator.controller.runtime import Runtime
from classifier_operator.settings import Settings

_RUNTIME = "runtime"


class _NoDiffBase(kopf.DiffBaseStorage):
    """Kopf keeps no last-seen state: without it every event costs a copy of the object less."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Makes Kopf write nothing, and starts what runs beside it."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # the kinds are there, see Runtime.connect; CRDs need not be readable
    settings.persistence.finalizer = f"{names.GROUP}/never-set"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.queueing.idle_timeout = 0.5
    settings.watching.chunk_size = 500
    for chatty in ("kopf.objects", "aiohttp.access"):  # a line for every event and every probe otherwise
        logging.getLogger(chatty).setLevel(logging.WARNING)
    settings.process.ultimate_exiting_timeout = 20
    runtime = await Runtime.connect(Settings.from_environment())
    runtime.start()
    memo[_RUNTIME] = runtime
    # What is loaded by now stays: without this the collector walks through all of it every few thousand objects.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """Ends what runs beside Kopf, and gives the Lease back."""
    runtime: Runtime | None = memo.get(_RUNTIME)
    if runtime is not None:
        await runtime.stop()


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account where there is one, else the kubeconfig."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return kopf.login_with_service_account(**kwargs)
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.event(names.GROUP, names.VERSION, names.TRAINING_JOB_PLURAL)
@kopf.on.event(names.GROUP, names.VERSION, names.DEPLOYMENT_PLURAL)
async def event(event: kopf.RawEvent, resource: kopf.Resource, memo: kopf.Memo, **_: Any) -> None:
    """An event of one of the two kinds."""
    memo[_RUNTIME].event(resource.plural, event["type"], dict(event["object"]))
