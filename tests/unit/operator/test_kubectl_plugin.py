"""What the plugin of kubectl says of a deployment, and what it stands on."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from classifier_operator.api import names
from classifier_operator.plugin import kubectl_classifiers as plugin
from support.plugin_terminal import ASLEEP, DEPLOYED, GIVEN_UP, GOING, OFF, SCHEDULE, Json, changed, deployment

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)

CANNOT: dict[str, tuple[str, Json, str]] = {
    "wake a suspended one": (
        "wake",
        deployment("Suspended", "False", "Suspended", suspend=True),
        "spec.suspend: false",
    ),
    "wake 0 replicas": (
        "wake",
        {**DEPLOYED, "spec": {**DEPLOYED["spec"], "replicas": 0}},
        "kubectl scale -n prod classifierdeployments.classifiers.dev news --replicas 1",
    ),
    "wake 0 replicas that autoscaling ignores": (
        "wake",
        deployment("Sleeping", "False", "Idle", autoscaling={"maxReplicas": 2}),
        "",
    ),
    "wake against the schedule": ("wake", OFF, "its next change is Sleeping 20:00 CET): add a window"),
    "wake against a schedule that is over": ("wake", changed(OFF, nextTransition=None), "no start is to come"),
    "wake outside of a schedule that lets": (
        "wake",
        deployment("Sleeping", "False", "OutsideSchedule", schedule={**SCHEDULE, "outside": "WakeOnRequest"}),
        "",
    ),
    "wake while the status is about an older schedule": ("wake", changed(OFF, observedGeneration=1), ""),
    "wake without a checkpoint": (
        "wake",
        changed(deployment("Pending", "False", "WaitingForCheckpoint"), model=None),
        "news has no model to serve: the message of Pending",
    ),
    "wake": ("wake", ASLEEP, ""),
    "wake one that was given up": ("wake", GIVEN_UP, ""),
    "wake one that nobody has looked at": ("wake", {**ASLEEP, "status": {}}, ""),
    "sleep a suspended one": ("sleep", deployment("Suspended", "False", "Suspended", suspend=True), "is suspended"),
    "sleep one that never sleeps": (
        "sleep",
        deployment("Deployed", "True", "AlwaysOn", replicas=1, inactivityTimeout=None),
        "spec.suspend: true, e.g. kubectl patch -n prod classifierdeployments.classifiers.dev news --type merge -p",
    ),
    "sleep one that never sleeps, but its schedule does": (
        "sleep",
        deployment("Sleeping", "False", "OutsideSchedule", schedule=SCHEDULE, inactivityTimeout=None),
        "",
    ),
    "sleep": ("sleep", DEPLOYED, ""),
}


@pytest.mark.parametrize("case", CANNOT)
def test_says_why_it_cannot(case: str) -> None:
    verb, seen, sentence = CANNOT[case]
    said = plugin.why_not(verb, seen)
    assert (sentence in said) if said and sentence else (said is None and sentence == "")


NEEDLESS: dict[str, tuple[str, Json, str | None]] = {
    "sleep": ("sleep", DEPLOYED, None),
    "sleep while pods finish": ("sleep", GOING, None),
    "sleep while asleep": ("sleep", ASLEEP, "news has no pods already"),
    "sleep what an older specification sent to sleep": ("sleep", changed(ASLEEP, observedGeneration=1), None),
    "wake": ("wake", ASLEEP, None),
    "wake again, which counts anew": ("wake", DEPLOYED, None),
    "wake what never sleeps": (
        "wake",
        deployment("Deployed", "True", "AlwaysOn", replicas=1, inactivityTimeout=None),
        "news has no inactivityTimeout: it is awake always",
    ),
    "wake what sleeps by schedule alone": (
        "wake",
        deployment("Deployed", "True", "InSchedule", replicas=1, inactivityTimeout=None, schedule=SCHEDULE),
        "news has no inactivityTimeout: it is awake while its schedule is on",
    ),
}


@pytest.mark.parametrize("case", NEEDLESS)
def test_says_when_there_is_nothing_to_do(case: str) -> None:
    verb, seen, sentence = NEEDLESS[case]
    assert plugin.nothing_to_do(verb, seen) == sentence


def test_shows_a_page() -> None:
    assert plugin.page(plugin.facts(OFF), NOW).splitlines() == [
        "news (namespace prod)",
        "  Phase           Sleeping",
        "  Why             OutsideSchedule: the message of Sleeping",
        "  Ready           0/1",
        "  Model           news/epoch-3",
        "  URL             http://news.prod.svc",
        "  Last request    34 minutes ago (2026-07-01T11:26:00Z)",
        "  Next            Sleeping 20:00 CET (schedule)",
        "  Last wake took  7.9 s",
        "  Sleeps after    30m without a request",
        "  Schedule        Europe/Berlin, outside: Sleep",
        "                  on from 0 8 * * 1-5 to 0 20 * * 1-5",
    ]


def test_shows_what_is_not_known() -> None:
    fresh = plugin.page(plugin.facts({**ASLEEP, "status": {}}), NOW)
    assert "Phase           none yet: does the operator run?" in fresh
    assert "Last request    none that is known" in fresh
    assert "Next            no change is known" in fresh
    stale = plugin.page(plugin.facts(changed(ASLEEP, observedGeneration=1)), NOW)
    assert "(the operator has not seen the last change yet)" in stale
    silent = {"type": "ActivityUnknown", "status": "True", "reason": "PodSilent", "message": "a pod does not say"}
    unknown = changed(DEPLOYED, conditions=[*DEPLOYED["status"]["conditions"], silent])
    assert "Unknown         a pod does not say" in plugin.page(plugin.facts(unknown), NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0), ("0s", 0.0)], ids=lambda value: str(value)
)
def test_reads_durations(text: str, seconds: float) -> None:
    assert plugin.duration(text) == seconds


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2026-07-01T11:59:30Z", "less than a minute ago"),
        ("2026-07-01T12:00:30Z", "less than a minute ago"),
        ("2026-07-01T11:59:00Z", "1 minute ago"),
        ("2026-07-01T09:01:00Z", "2 hours ago"),
        ("2026-06-28T09:01:00Z", "3 days ago"),
    ],
)
def test_tells_how_long_ago(time: str, words: str) -> None:
    assert plugin.ago(time, NOW) == words


# -- what it stands on ------------------------------------------------------------------------------------------------


def test_stands_on_the_standard_library_alone() -> None:
    tree = ast.parse(Path(plugin.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_runs_without_the_packages_of_the_operator(tmp_path: Path) -> None:
    copied = tmp_path / "kubectl-classifiers"
    shutil.copy(plugin.__file__, copied)
    # -I: no PYTHONPATH; -S: no installed packages.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(copied), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_says_the_names_that_the_operator_reads() -> None:
    assert f"{names.DEPLOYMENT_PLURAL}.{names.GROUP}" == plugin.RESOURCE
    assert plugin.ANNOTATIONS == {"wake": names.WAKE_ANNOTATION, "sleep": names.SLEEP_ANNOTATION}
