"""The serve configuration: from the operator to the server, in one environment variable of its pod."""

from typing import Final

from pydantic import Field

from classifier_operator.api.deployment import ServerSettings
from classifier_operator.wire.model import WIRE_VERSION, Message

SERVE_CONFIG_VARIABLE: Final = "CLASSIFIER_SERVE_CONFIG"


class ModelSource(Message):
    """A model by its address."""

    uri: str


class ServeConfig(Message):
    """What the server shall serve."""

    version: str = WIRE_VERSION
    name: str
    """Name of the ClassifierDeployment, which is the name of the model in answers."""
    checkpoint: str | None = None
    """Name of the checkpoint; absent where the model is served from an address."""
    model: ModelSource
    base_model: ModelSource | None = None
    """The base model, where the folder may hold an adapter."""
    server: ServerSettings | None = None
    mounts: dict[str, str] = Field(default_factory=dict)
    """Absolute paths in the pod by the addresses that stand above."""
    api_keys_dir: str | None = None
    """Folder in the pod where the Secret with the API keys is mounted; absent: everybody may ask."""
