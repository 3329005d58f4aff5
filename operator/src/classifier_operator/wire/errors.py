"""What goes wrong on a wire."""


class WireError(ValueError):
    """The other side sent, or is to be sent, what the contract does not allow; one sentence."""
