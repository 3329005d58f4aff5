"""The one family of errors that the command shows to its user."""


class ClusterError(Exception):
    """Something the user can read and act on: one sentence, shown without a traceback."""
