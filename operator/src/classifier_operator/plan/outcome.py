"""How a run ended, in a reason and a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from classifier_operator.plan.sentences import last_report, last_sentence, one_line, why_ended
from classifier_operator.plan.types import JobView, PodView
from classifier_operator.wire.progress import USER_ERROR_EXIT_CODE, ProgressReport

INVALID_INPUT: Final = "InvalidInput"
_BACKOFF: Final = "BackoffLimitExceeded"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run."""

    succeeded: bool
    reason: str
    message: str
    report: ProgressReport | None = None


def failed_outcome(child: JobView, pods: Sequence[PodView], nodes: int = 1) -> Outcome:
    """Why a Job failed: in the trainer's own sentence where the user's data or configuration is wrong."""
    refused = next((pod for pod in reversed(pods) if pod.exit_code == USER_ERROR_EXIT_CODE), None)
    if refused is not None:
        sentence = last_sentence(refused) or (
            f"the trainer refused the data or the configuration without saying why: see kubectl logs job/{child.name}"
        )
        return Outcome(False, INVALID_INPUT, sentence, last_report(refused))
    last = next((pod for pod in reversed(pods) if pod.phase == "Failed"), None)
    if last is None:
        text = one_line(child.failed_message) or "the Job failed"
        return Outcome(False, child.failed_reason or "JobFailed", f"{text}; its pods are gone")
    count = max(1, math.ceil(child.failed / nodes))
    tries = "the only attempt" if count == 1 else f"all {count} attempts"
    why = why_ended(last, "trainer")
    if child.failed_reason == _BACKOFF:
        text = f"{tries} failed; {'' if count == 1 else 'the last time '}{why}; see kubectl logs job/{child.name}"
    else:
        text = f"{why}; see kubectl logs job/{child.name}"
    return Outcome(False, child.failed_reason or "JobFailed", text, last_report(last))
