"""What a gateway pod says of itself: `GET :9090/report`."""

from typing import Final

from pydantic import Field

from classifier_operator.api.names import uid_hash
from classifier_operator.wire.model import WIRE_VERSION, Message

REPORT_PORT: Final = 9090
REPORT_PATH: Final = "/report"


class GatewayReport(Message):
    """On which ports the gateway listens, and for whom."""

    version: str = WIRE_VERSION
    ports: dict[str, str] = Field(default_factory=dict)
    """`uid_hash` of the deployment by port."""

    def listens(self, port: int, uid: str) -> bool:
        """Whether requests at `port` reach the deployment with this UID."""
        return self.ports.get(str(port)) == uid_hash(uid)
