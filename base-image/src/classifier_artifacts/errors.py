"""The two families of errors that end a run: what the user must mend, and what may pass."""

from __future__ import annotations


class UserError(Exception):
    """Something the user must mend. The text is one sentence for the user; the trainer exits with 42."""


class TransientError(Exception):
    """Something that may pass, such as a network fault. The text is one sentence; the process exits to be retried."""
