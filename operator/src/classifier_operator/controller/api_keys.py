"""Reads Secrets with API keys. Only digests are kept, so that neither memory nor a Lease tells a key."""

import base64
import binascii
import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.errors import KubeError
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.kube.resources import SECRETS
from classifier_operator.plan.types import KeysView

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 30.0
"""A deployment that asks for keys is looked at again so often."""
_REMEMBERED_SECONDS: Final = 20.0
_TRUSTED_SECONDS: Final = 60.0
"""While the API server does not say, what it said last counts for so long; then nobody may ask."""
_MOST_KEYS: Final = 500
_BLANKS: Final = b" \t\r\n"


class ApiKeys:
    """The API keys of each deployment, by its UID."""

    def __init__(self, client: KubeClient, *, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._known: dict[str, tuple[str, float, KeysView]] = {}

    async def read(self, deployment: ClassifierDeployment) -> KeysView | None:
        """The keys of a deployment, as they were at most 20 seconds ago; None: it asks for none."""
        uid, auth = deployment.metadata.uid, deployment.spec.auth
        if auth is None:
            self.forget(uid)
            return None
        now, name = self._monotonic(), auth.api_key_secret_name
        known = self._known.get(uid)
        if known is not None and known[0] != name:
            known = None
        if known is not None and now - known[1] < _REMEMBERED_SECONDS:
            return known[2]
        namespace = deployment.metadata.namespace
        try:
            view = keys_in(await self._client.request("GET", SECRETS.path(namespace, name)), name=name)
        except KubeError as error:
            if error.not_found:
                view = _closed(f"there is no Secret {name} in namespace {namespace}")
            elif known is not None and now - known[1] < _TRUSTED_SECONDS:
                logger.info("Secret %s/%s cannot be read: %s", namespace, name, error)
                return known[2]
            else:
                return _closed(f"Secret {name} cannot be read: {error.message}")
        self._known[uid] = (name, now, view)
        return view

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)


def keys_in(secret: Json, *, name: str) -> KeysView:
    """The keys that a Secret of this name holds: every value without the blanks around it, each once."""
    digests = tuple(sorted({hashlib.sha256(value).hexdigest() for value in _values(secret) if value}))
    if not digests:
        return _closed(f"Secret {name} has no value: write at least one key into it")
    if len(digests) > _MOST_KEYS:
        return _closed(f"Secret {name} has {len(digests)} keys, and at most {_MOST_KEYS} are possible: remove some")
    return KeysView(digests)


def _values(secret: Json) -> Iterator[bytes]:
    for text in (secret.get("data") or {}).values():
        try:
            yield base64.b64decode(text).strip(_BLANKS)
        except (binascii.Error, ValueError):
            continue


def _closed(problem: str) -> KeysView:
    return KeysView((), f"auth.apiKeySecretName: {problem}; until then nobody may ask")
