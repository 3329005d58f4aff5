"""The plugin of kubectl, as people run it: a copied file beside a kubectl, here one that plays a deployment."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from classifier_operator.api import names
from classifier_operator.plugin import kubectl_classifiers as plugin
from support.plugin_terminal import (
    ASLEEP,
    CRASHING,
    DEPLOYED,
    GIVEN_UP,
    GOING,
    OFF,
    WAKING,
    Json,
    Terminal,
    changed,
    deployment,
)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.mark.parametrize(
    ("verb", "annotation", "seen"),
    [("wake", names.WAKE_ANNOTATION, ASLEEP), ("sleep", names.SLEEP_ANNOTATION, DEPLOYED)],
)
def test_asks_by_an_annotation(terminal: Terminal, verb: str, annotation: str, seen: Json) -> None:
    before = datetime.now(UTC)
    done = terminal.run(verb, "news", "-n", "prod", "--context=far", answers=[seen])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"news is asked to {verb}\n", "")
    flags = ["--namespace=prod", "--context=far"]
    assert terminal.calls[0] == [*flags, "get", "classifierdeployments.classifiers.dev", "news", "-o", "json"]
    assert terminal.calls[1][:-1] == [
        *flags,
        "annotate",
        "classifierdeployments.classifiers.dev",
        "news",
        "--overwrite",
    ]
    when = datetime.fromisoformat(terminal.annotated[annotation])
    assert before - timedelta(milliseconds=1) < when <= datetime.now(UTC)


def test_takes_the_namespace_before_the_command_too(terminal: Terminal) -> None:
    terminal.run("-n", "prod", "--kubeconfig", "/k", "wake", "news", answers=[ASLEEP])
    assert terminal.calls[0][:2] == ["--namespace=prod", "--kubeconfig=/k"]


@pytest.mark.parametrize("verb", ["wake", "sleep"])
def test_refuses_without_asking(terminal: Terminal, verb: str) -> None:
    done = terminal.run(verb, "news", answers=[deployment("Suspended", "False", "Suspended", suspend=True)])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("news is suspended")
    assert terminal.annotated == {}


def test_does_nothing_where_nothing_is_to_be_done(terminal: Terminal) -> None:
    done = terminal.run("sleep", "news", "--wait", answers=[ASLEEP])
    assert (done.returncode, done.stdout) == (0, "news has no pods already\nnews is asleep\n")
    assert terminal.annotated == {}


WAITS: dict[str, tuple[str, list[Json | str], int, str]] = {
    "wake": ("wake", [ASLEEP, ASLEEP, WAKING, DEPLOYED], 0, "news: Waking: the message of Waking"),
    "wake what had failed": ("wake", [GIVEN_UP, GIVEN_UP, WAKING, DEPLOYED], 0, "news: Failed"),
    "wake, and it fails": ("wake", [ASLEEP, WAKING, CRASHING], 1, "\nnews: Failed: the message of Failed\n"),
    "wake, and it fails again": ("wake", [GIVEN_UP, GIVEN_UP, WAKING, CRASHING], 1, "\nnews: Failed: the message"),
    "wake, and its window ends": ("wake", [ASLEEP, WAKING, OFF], 1, "news is off by its schedule"),
    "wake, and it is deleted": ("wake", [ASLEEP, WAKING, "not found"], 1, "\nnot found\n"),
    "sleep": ("sleep", [DEPLOYED, DEPLOYED, GOING, ASLEEP], 0, "news: Sleeping: the message of Sleeping"),
}


@pytest.mark.parametrize("case", WAITS)
def test_waits(terminal: Terminal, case: str) -> None:
    verb, answers, code, text = WAITS[case]
    done = terminal.run(verb, "news", "--wait", answers=answers)
    assert text in done.stderr
    assert done.returncode == code
    assert done.stdout == f"news is asked to {verb}\n" + ("" if code else f"news is {plugin.DONE[verb]}\n")


TOO_LONG: dict[str, tuple[str, list[Json], str]] = {
    "pods start": ("wake", [ASLEEP, WAKING], "news: Waking: the message of Waking"),
    "the status is about an older specification": ("wake", [changed(DEPLOYED, observedGeneration=1)], "news: Deployed"),
    "no operator runs": ("wake", [{**ASLEEP, "status": {}}], "news: no status yet (does the operator run?)"),
    "requests keep it awake": ("sleep", [DEPLOYED], "news: Deployed: the message of Deployed"),
}


@pytest.mark.parametrize("case", TOO_LONG)
def test_does_not_wait_for_ever(terminal: Terminal, case: str) -> None:
    verb, answers, standing = TOO_LONG[case]
    done = terminal.run(verb, "news", "--wait", "--timeout=1s", answers=answers)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"not {plugin.DONE[verb]} after ")
    assert standing in last


def test_says_each_step_once(terminal: Terminal) -> None:
    done = terminal.run("wake", "news", "--wait", answers=[ASLEEP, ASLEEP, WAKING, WAKING, DEPLOYED])
    steps = [line.rpartition(" (")[0] for line in done.stderr.splitlines()]
    assert steps == [f"news: {phase}: the message of {phase}" for phase in ("Sleeping", "Waking", "Deployed")]


def test_shows_a_page(terminal: Terminal) -> None:
    done = terminal.run("status", "news", answers=[OFF])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == [
        "news (namespace prod)",
        "  Phase           Sleeping",
        "  Why             OutsideSchedule: the message of Sleeping",
    ]


def test_shows_a_table_of_all(terminal: Terminal) -> None:
    fresh = {**deployment("", "", "", name="a-new-one"), "status": {}}
    answers = [{"items": [OFF, fresh]}]
    done = terminal.run("status", "-A", answers=answers)
    assert terminal.calls == [["get", "classifierdeployments.classifiers.dev", "-o", "json", "--all-namespaces"]]
    head, first, second = done.stdout.splitlines()
    assert head.split("   ")[0] == "NAMESPACE"
    assert first.startswith("prod        news        Sleeping   0/1     OutsideSchedule   news/epoch-3")
    assert first.endswith("Sleeping 20:00 CET")
    assert second.split() == ["prod", "a-new-one", "-", "-", "-", "-", "-", "-"]
    here = terminal.run("status", answers=answers)
    assert here.stdout.startswith("NAME ")
    assert terminal.calls[-1] == ["get", "classifierdeployments.classifiers.dev", "-o", "json"]


def test_says_that_there_are_none(terminal: Terminal) -> None:
    done = terminal.run("status", answers=[{"items": []}])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no ClassifierDeployment found\n")


def test_writes_json(terminal: Terminal) -> None:
    one = json.loads(terminal.run("status", "news", "-o", "json", answers=[OFF]).stdout)
    assert one == plugin.facts(OFF)
    assert (one["awake"], one["reason"], one["wakeSeconds"]) == ("False", "OutsideSchedule", 7.9)
    both = json.loads(terminal.run("status", "-o", "json", answers=[{"items": [OFF, DEPLOYED]}]).stdout)
    assert both == [plugin.facts(OFF), plugin.facts(DEPLOYED)]


def test_passes_on_what_kubectl_complains_of(terminal: Terminal) -> None:
    complaint = 'Error from server (NotFound): classifierdeployments.classifiers.dev "news" not found'
    done = terminal.run("wake", "news", answers=[complaint])
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{complaint}\n")


def test_says_that_kubectl_is_missing(terminal: Terminal) -> None:
    terminal.remove_kubectl()
    done = terminal.run("status", answers=[])
    assert (done.returncode, done.stderr) == (
        1,
        "there is no kubectl on your PATH: install it, or add its folder to PATH\n",
    )


USAGE: dict[str, tuple[list[str], str]] = {
    "no command": ([], "required: COMMAND"),
    "no name": (["wake"], "required: NAME"),
    "no duration": (
        ["wake", "news", "--wait", "--timeout=5 minutes"],
        "'5 minutes' is no duration: write e.g. 90s, 5m",
    ),
    "a time without waiting": (["sleep", "news", "--timeout=5m"], "add --wait, or leave it out"),
    "one of all": (["status", "news", "-A"], "leave it out, or NAME"),
}


@pytest.mark.parametrize("case", USAGE)
def test_says_how_it_is_called(terminal: Terminal, case: str) -> None:
    words, text = USAGE[case]
    done = terminal.run(*words, answers=[ASLEEP])
    assert done.returncode == 2
    assert text in done.stderr
    assert terminal.calls == []


@pytest.mark.parametrize("words", [[], ["wake"], ["sleep"], ["status"]])
def test_has_help(terminal: Terminal, words: list[str]) -> None:
    done = terminal.run(*words, "--help", answers=[])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(["usage: kubectl classifiers", *words]))
    assert "--namespace" in done.stdout
