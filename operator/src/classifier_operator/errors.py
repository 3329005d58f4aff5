"""The two families of errors: what the user must mend, and what may pass."""


class SpecError(Exception):
    """What the user must mend: shown in the status and not retried before something changes.

    Attributes:
        reason: CamelCase word for the conditions.
        message: one sentence that names the field and says what to write instead.
        final: the object can never be mended, since the field cannot be changed.
    """

    def __init__(self, reason: str, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.final = final


class TransientError(Exception):
    """What may pass: retried with a growing, jittered delay, and shown as Reconciling."""


class WaitError(TransientError):
    """Something that is waited for, by looking again in a while.

    Attributes:
        reason: CamelCase word for the conditions.
        message: one sentence that says what is waited for.
        seconds: until the next look.
    """

    def __init__(self, reason: str, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.seconds = seconds


class KubeError(TransientError):
    """An answer of the API server other than 2xx.

    Attributes:
        status: HTTP status, 0 when no answer came.
        reason: the machine-readable reason of the answer's Status object, e.g. `AlreadyExists`.
        message: the sentence of the answer's Status object.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def already_exists(self) -> bool:
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        return self.status == 409 and not self.already_exists

    @property
    def expired(self) -> bool:
        """Whether a list's page or a watch's version is too old: begin anew with a list."""
        return self.status == 410

    @property
    def namespace_terminating(self) -> bool:
        """Whether the namespace is being deleted, and with it the object that this was for."""
        return self.status == 403 and "because it is being terminated" in self.message

    @property
    def invalid(self) -> bool:
        """Whether the object itself is refused, so that sending it again cannot help."""
        return self.status in (400, 422)


class LeaseLostError(Exception):
    """The Lease is not, or not surely, ours: nothing may be written any more."""
