"""ClassifierDeployments as the API server shows them, and a shell in which the plugin of kubectl meets them."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifier_operator.plugin import kubectl_classifiers as plugin

Json = dict[str, Any]
WINDOWS = [{"start": "0 8 * * 1-5", "stop": "0 20 * * 1-5"}]
SCHEDULE = {"timeZone": "Europe/Berlin", "windows": WINDOWS}


def deployment(phase: str, awake: str, reason: str, *, name: str = "news", replicas: int = 0, **spec: Any) -> Json:
    """A deployment as the API server shows it; `spec` is laid over one that sleeps for idleness."""
    merged = {"model": {"uri": "pvc://m/news"}, "replicas": 1, "inactivityTimeout": "30m", **spec}
    return {
        "metadata": {"name": name, "namespace": "prod", "generation": 2},
        "spec": {key: value for key, value in merged.items() if value is not None},
        "status": {
            "observedGeneration": 2,
            "phase": phase,
            "message": f"the message of {phase}",
            "ready": f"{replicas}/1",
            "replicas": replicas,
            "model": {"display": "news/epoch-3"},
            "url": "http://news.prod.svc",
            "lastRequestTime": "2026-07-01T11:26:00Z",
            "nextTransition": {
                "display": "Sleeping 20:00 CET",
                "time": "2026-07-01T18:00:00Z",
                "to": "Sleeping",
                "why": "schedule",
            },
            "wakeSeconds": 7.9,
            "conditions": [{"type": "Awake", "status": awake, "reason": reason, "message": ""}],
        },
    }


def changed(before: Json, **status: Any) -> Json:
    """The same with another status; None takes a field away."""
    after = copy.deepcopy(before)
    for key, value in status.items():
        after["status"].pop(key, None) if value is None else after["status"].update({key: value})
    return after


ASLEEP = deployment("Sleeping", "False", "Idle")
WAKING = deployment("Waking", "True", "Active", replicas=1)
DEPLOYED = deployment("Deployed", "True", "Active", replicas=1)
GOING = deployment("Sleeping", "False", "Idle", replicas=1)
CRASHING = deployment("Failed", "True", "Active", replicas=1)
GIVEN_UP = deployment("Failed", "False", "StartupTimeout")
OFF = deployment("Sleeping", "False", "OutsideSchedule", schedule=SCHEDULE)


KUBECTL = r"""#!/bin/sh
# Shows one answer after the other to `get`, of which the last one stays; fails with what a file *.error says.
for word in "$@"; do printf '%s\t' "$word"; done >>"$FAKE_KUBECTL/calls"
echo >>"$FAKE_KUBECTL/calls"
read -r at <"$FAKE_KUBECTL/at"
if [ -e "$FAKE_KUBECTL/$at.error" ]; then
  /bin/cat "$FAKE_KUBECTL/$at.error" >&2
  exit 1
fi
case "$*" in *annotate*) exit ;; esac
/bin/cat "$FAKE_KUBECTL/$at.json"
if [ -e "$FAKE_KUBECTL/$((at + 1)).json" ] || [ -e "$FAKE_KUBECTL/$((at + 1)).error" ]; then
  echo "$((at + 1))" >"$FAKE_KUBECTL/at"
fi
"""


class Terminal:
    """A shell with the plugin and a kubectl on its PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copy(plugin.__file__, folder / "kubectl-classifiers")
        (folder / "kubectl").write_text(KUBECTL, encoding="utf-8")
        (folder / "kubectl").chmod(0o755)
        (folder / "python3").symlink_to(sys.executable)

    def run(self, *words: str, answers: Sequence[Json | str]) -> subprocess.CompletedProcess[str]:
        """Runs the plugin. To `get` kubectl gives the answers in turn; one that is a text is what it complains of."""
        (self._folder / "at").write_text("0\n")
        for index, answer in enumerate(answers):
            if isinstance(answer, str):
                (self._folder / f"{index}.error").write_text(f"{answer}\n")
            else:
                (self._folder / f"{index}.json").write_text(json.dumps(answer))
        environment = {"PATH": str(self._folder), "FAKE_KUBECTL": str(self._folder)}
        environment |= {key: value for key, value in os.environ.items() if key in ("LANG", "LD_LIBRARY_PATH")}
        command = [str(self._folder / "kubectl-classifiers"), *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    @property
    def calls(self) -> list[list[str]]:
        """The words of each call of kubectl."""
        path = self._folder / "calls"
        return [line.rstrip("\t").split("\t") for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def annotated(self) -> dict[str, str]:
        """What it has written, by the names of the annotations."""
        written = [words[-1].partition("=") for words in self.calls if "annotate" in words]
        return {name: value for name, _, value in written}

    def remove_kubectl(self) -> None:
        """Takes kubectl from its PATH."""
        (self._folder / "kubectl").unlink()
