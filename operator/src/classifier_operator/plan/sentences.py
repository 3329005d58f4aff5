"""Text that goes into a status: one line, clipped, never a traceback."""

import json
import re
from typing import Final

from classifier_operator.plan.types import PodView
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.progress import ProgressReport

MAX_SENTENCE: Final = 1024
_TRACEBACK: Final = "Traceback (most recent call last)"
_OUT_OF_MEMORY: Final = "OOMKilled"


def one_line(text: str, limit: int = MAX_SENTENCE) -> str:
    """The text without line breaks and control characters, clipped; nothing if it is a traceback."""
    if _TRACEBACK in text:
        return ""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f]+", " ", text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def last_report(pod: PodView) -> ProgressReport | None:
    """What the trainer left as its termination message, if it is of our making."""
    if not pod.last_words.lstrip().startswith("{"):
        return None
    try:
        return ProgressReport.decode(pod.last_words)
    except WireError:
        return None


def last_sentence(pod: PodView) -> str:
    """The sentence in a pod's termination message: the `message` of a JSON object, or the text itself."""
    text = pod.last_words.strip()
    if text.startswith("{"):
        try:
            text = str(json.loads(text).get("message") or "")
        except ValueError:
            return ""
    return one_line(text)


def why_ended(pod: PodView, what: str) -> str:
    """Why the container of a pod ended, as a clause: `the trainer ended with exit code 1: …`."""
    if pod.exit_reason == _OUT_OF_MEMORY:
        return f"the {what} ran out of memory: raise resources.limits.memory"
    if pod.evicted:
        return one_line(f"the pod was ended by the cluster ({pod.evicted})")
    sentence = last_sentence(pod)
    code = "unknown" if pod.exit_code is None else str(pod.exit_code)
    return f"the {what} ended with exit code {code}" + (f": {sentence}" if sentence else "")


def why_waiting(pod: PodView) -> tuple[str, str] | None:
    """Reason and sentence of a pod that cannot start; None if it merely has not started yet."""
    if pod.unschedulable is not None:
        return "Unschedulable", one_line(f"the pod waits for a node: {pod.unschedulable}")
    if pod.waiting_reason and pod.waiting_reason not in ("ContainerCreating", "PodInitializing"):
        detail = f": {pod.waiting_message}" if pod.waiting_message else ""
        return pod.waiting_reason, one_line(f"the container cannot start ({pod.waiting_reason}){detail}")
    return None
