"""How a run ends, as the cluster sees it."""

from __future__ import annotations

from classifier_artifacts.errors import TransientError, UserError

__all__ = [
    "EXIT_FAILURE",
    "EXIT_INTERRUPTED",
    "EXIT_TERMINATED",
    "EXIT_USER",
    "Terminated",
    "TransientError",
    "UserError",
]

EXIT_FAILURE = 1
"""May pass: the cluster tries again."""
EXIT_USER = 42
"""The user's data or configuration is wrong: never tried again."""
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
"""Ended by SIGTERM, as shells and the kubelet count it."""


class Terminated(BaseException):
    """Raised in the main thread by SIGTERM. No `Exception`, so that nothing but the end of the process handles it."""
