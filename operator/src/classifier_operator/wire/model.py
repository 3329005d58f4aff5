"""The base of every message, and its JSON."""

import json
from typing import Any, Final, Self

from pydantic import ConfigDict, ValidationError

from classifier_operator.api.base import Model
from classifier_operator.wire.errors import WireError

WIRE_VERSION: Final = "v1alpha1"
MAX_BYTES: Final = 65536


class Message(Model):
    """A frozen message. Fields that are not known here are ignored, so that the other side may be newer."""

    model_config = ConfigDict(extra="ignore")

    def encode(self) -> str:
        """The message as JSON with sorted keys and no blanks, so that equal messages are equal texts.

        Raises:
            WireError: it is larger than 64 KiB.
        """
        text = json.dumps(self.fields(), ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
        if (size := len(text.encode())) > MAX_BYTES:
            raise WireError(f"the configuration takes {size} bytes, and at most {MAX_BYTES} are possible: shorten it")
        return text

    def fields(self) -> dict[str, Any]:
        """The message as a JSON object without absent fields."""
        return self.to_json_object()

    @classmethod
    def decode(cls, text: str | bytes) -> Self:
        """Reads a message.

        Raises:
            WireError: it is larger than 64 KiB, no JSON object, or of the wrong shape.
        """
        size = len(text.encode()) if isinstance(text, str) else len(text)
        if size > MAX_BYTES:
            raise WireError(f"the message has {size} bytes, more than {MAX_BYTES}")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the message"
            raise WireError(f"{where}: {first['msg']}") from error
