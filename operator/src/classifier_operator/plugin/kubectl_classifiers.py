#!/usr/bin/env python3
"""A plugin of kubectl that wakes ClassifierDeployments, sends them to sleep, and tells how they are.

Copy this file as `kubectl-classifiers` into a folder of your PATH and make it executable. It needs Python 3.9 or newer
and your kubectl, and talks to the cluster by that kubectl alone.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

RESOURCE = "classifierdeployments.classifiers.dev"
ANNOTATIONS = {"wake": "classifiers.dev/wake-requested-at", "sleep": "classifiers.dev/sleep-requested-at"}
DONE = {"wake": "awake", "sleep": "asleep"}
DEFAULT_TIMEOUT = "10m"
FAILED_GRACE_SECONDS = 15.0
"""A deployment that had failed before it was woken is Failed until the operator has seen the annotation."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 2.0

Object = dict[str, Any]


class PluginError(Exception):
    """Why it could not be done, in a sentence."""


# -- what is known of a deployment ------------------------------------------------------------------------------------


def status_of(deployment: Object) -> Object:
    """The status; empty until the operator has written one."""
    status: Object = deployment.get("status") or {}
    return status


def condition(deployment: Object, kind: str) -> Object:
    """The condition of that type; empty where there is none."""
    found = (each for each in status_of(deployment).get("conditions") or () if each.get("type") == kind)
    return next(found, {})


def is_seen(deployment: Object) -> bool:
    """Whether the status is about the specification as it is now."""
    generation = deployment["metadata"].get("generation")
    return bool(status_of(deployment)) and status_of(deployment).get("observedGeneration") == generation


def is_off_by_schedule(deployment: Object) -> bool:
    """Whether the schedule has turned it off, so that nothing but the schedule turns it on."""
    outside = (deployment["spec"].get("schedule") or {}).get("outside", "Sleep")
    awake = condition(deployment, "Awake")
    off = (awake.get("status"), awake.get("reason")) == ("False", "OutsideSchedule")
    return "schedule" in deployment["spec"] and outside == "Sleep" and is_seen(deployment) and off


def is_done(verb: str, deployment: Object) -> bool:
    """Whether the deployment is awake and answers, or asleep and its pods are gone."""
    if not is_seen(deployment):
        return False
    if verb == "wake":
        return status_of(deployment).get("phase") == "Deployed"
    return condition(deployment, "Awake").get("status") == "False" and not status_of(deployment).get("replicas")


def why_not(verb: str, deployment: Object) -> str | None:
    """Why the deployment can neither be woken nor sent to sleep by asking, and what to do instead; None: it can."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], status_of(deployment)
    name, at = metadata["name"], f"-n {metadata['namespace']} {RESOURCE} {metadata['name']}"
    patch = f'kubectl patch {at} --type merge -p \'{{"spec":{{"suspend":%s}}}}\''
    if spec.get("suspend"):
        if verb == "sleep":
            return f"{name} is suspended, which turns it off anyway"
        return f"{name} is suspended: to wake it set spec.suspend: false, e.g. {patch % 'false'}"
    if verb == "wake":
        if spec.get("replicas") == 0 and not spec.get("autoscaling"):
            return f"{name} has replicas: 0: write 1 or more, e.g. kubectl scale {at} --replicas 1"
        if is_off_by_schedule(deployment):
            upcoming = (status.get("nextTransition") or {}).get("display")
            then = f"its next change is {upcoming}" if upcoming else "no start is to come"
            return (
                f"{name} is off by its schedule, and with schedule.outside: Sleep nothing else turns it on ({then}): "
                "add a window, or write schedule.outside: WakeOnRequest"
            )
        if is_seen(deployment) and condition(deployment, "Awake").get("status") == "False" and not status.get("model"):
            return f"{name} has no model to serve: {status.get('message', '')}"
    if verb == "sleep" and not spec.get("inactivityTimeout") and not is_done("sleep", deployment):
        return (
            f"{name} has no inactivityTimeout, so it never sleeps because nothing is asked: to turn it off set "
            f"spec.suspend: true, e.g. {patch % 'true'}"
        )
    return None


def nothing_to_do(verb: str, deployment: Object) -> str | None:
    """Why asking would change nothing, since it is so already; None: it would."""
    name, spec = deployment["metadata"]["name"], deployment["spec"]
    if verb == "sleep":
        return f"{name} has no pods already" if is_done(verb, deployment) else None
    if spec.get("inactivityTimeout"):
        return None
    while_on = "while its schedule is on" if spec.get("schedule") else "always"
    return f"{name} has no inactivityTimeout: it is awake {while_on}"


# -- kubectl ----------------------------------------------------------------------------------------------------------


class Kubectl:
    """The user's kubectl, with the flags that say which cluster and namespace."""

    def __init__(self, flags: Sequence[str]) -> None:
        self._flags = list(flags)

    def get(self, name: str) -> Object:
        """One deployment."""
        found: Object = json.loads(self._run("get", RESOURCE, name, "-o", "json"))
        return found

    def get_all(self, *, everywhere: bool) -> list[Object]:
        """All deployments of the namespace, or of all namespaces."""
        items: list[Object] = json.loads(
            self._run("get", RESOURCE, "-o", "json", *(["--all-namespaces"] if everywhere else []))
        )["items"]
        return items

    def annotate(self, name: str, annotation: str, value: str) -> None:
        """Writes an annotation of a deployment."""
        self._run("annotate", RESOURCE, name, "--overwrite", f"{annotation}={value}")

    def _run(self, *words: str) -> str:
        try:
            done = subprocess.run(["kubectl", *self._flags, *words], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise PluginError("there is no kubectl on your PATH: install it, or add its folder to PATH") from None
        if done.returncode:
            raise PluginError(done.stderr.strip() or f"kubectl {words[0]} failed with exit code {done.returncode}")
        return done.stdout


# -- wake and sleep ---------------------------------------------------------------------------------------------------


class Progress:
    """Where a deployment stands while it is waited for: one line that changes, or a line a change in a log."""

    def __init__(self) -> None:
        self._last = ""
        self._terminal = sys.stderr.isatty()

    def show(self, deployment: Object, seconds: float) -> None:
        """Says it, if there is something new to say."""
        text = standing(deployment)
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text} ({seconds:.0f} s)"[:200])
        elif text != self._last:
            sys.stderr.write(f"{text} ({seconds:.0f} s)\n")
        sys.stderr.flush()
        self._last = text

    def end(self) -> None:
        """Leaves the line free."""
        if self._terminal and self._last:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def standing(deployment: Object) -> str:
    """Name, phase and message in a line."""
    status = status_of(deployment)
    phase = status.get("phase") or "no status yet (does the operator run?)"
    return ": ".join(filter(None, (deployment["metadata"]["name"], phase, status.get("message"))))


def change(kubectl: Kubectl, verb: str, name: str, timeout: float | None) -> None:
    """Wakes a deployment or sends it to sleep; waits for it where there is a timeout (seconds). Raises PluginError."""
    deployment = kubectl.get(name)
    refusal = why_not(verb, deployment)
    if refusal:
        raise PluginError(refusal)
    needless = nothing_to_do(verb, deployment)
    if needless:
        sys.stdout.write(f"{needless}\n")
    else:
        now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.9 has no UTC
        kubectl.annotate(name, ANNOTATIONS[verb], f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z")
        sys.stdout.write(f"{name} is asked to {verb}\n")
    sys.stdout.flush()
    if timeout is not None:
        wait(kubectl, verb, name, timeout, had_failed=status_of(deployment).get("phase") == "Failed")
        sys.stdout.write(f"{name} is {DONE[verb]}\n")


def wait(kubectl: Kubectl, verb: str, name: str, timeout: float, *, had_failed: bool) -> None:
    """Waits until the deployment is awake or asleep. Raises PluginError with its message when it fails, or too late."""
    began, pause, progress = time.monotonic(), FIRST_PAUSE_SECONDS, Progress()
    try:
        while True:
            deployment = kubectl.get(name)
            seconds = time.monotonic() - began
            progress.show(deployment, seconds)
            if is_done(verb, deployment):
                return
            refusal = why_not(verb, deployment)
            if refusal:
                raise PluginError(refusal)
            failed = verb == "wake" and is_seen(deployment) and status_of(deployment).get("phase") == "Failed"
            had_failed = had_failed and failed
            if failed and not (had_failed and seconds < FAILED_GRACE_SECONDS):
                raise PluginError(standing(deployment))
            if seconds >= timeout:
                raise PluginError(f"not {DONE[verb]} after {seconds:.0f} s: {standing(deployment)}")
            time.sleep(min(pause, max(0.0, timeout - seconds)))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    finally:
        progress.end()


# -- status -----------------------------------------------------------------------------------------------------------


def facts(deployment: Object) -> Object:
    """What `status` tells, for programs."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], status_of(deployment)
    awake, unknown = condition(deployment, "Awake"), condition(deployment, "ActivityUnknown")
    annotations = metadata.get("annotations") or {}
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "phase": status.get("phase"),
        "upToDate": is_seen(deployment),
        "awake": awake.get("status"),
        "reason": awake.get("reason"),
        "message": awake.get("message") or status.get("message"),
        "activityUnknown": unknown.get("message") if unknown.get("status") == "True" else None,
        "ready": status.get("ready"),
        "model": (status.get("model") or {}).get("display"),
        "url": status.get("url"),
        "lastRequestTime": status.get("lastRequestTime"),
        "nextTransition": status.get("nextTransition"),
        "wakeSeconds": status.get("wakeSeconds"),
        "suspend": bool(spec.get("suspend")),
        "inactivityTimeout": spec.get("inactivityTimeout"),
        "schedule": spec.get("schedule"),
        "wakeRequestedAt": annotations.get(ANNOTATIONS["wake"]),
        "sleepRequestedAt": annotations.get(ANNOTATIONS["sleep"]),
    }


def ago(text: str | None, now: datetime) -> str:
    """How long ago a time was, e.g. `5 minutes ago`; empty where there is none."""
    if not text:
        return ""
    seconds = (now - datetime.fromisoformat(text.replace("Z", "+00:00"))).total_seconds()
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "less than a minute ago"


def page(known: Object, now: datetime) -> str:
    """What `status NAME` prints."""
    lines: list[tuple[str, str]] = [("Phase", known["phase"] or "none yet: does the operator run?")]
    upcoming, schedule = known["nextTransition"], known["schedule"]
    if not known["upToDate"] and known["phase"]:
        lines.append(("", "(the operator has not seen the last change yet)"))
    lines.append(("Why", ": ".join(filter(None, (known["reason"], known["message"])))))
    lines.append(("Unknown", known["activityUnknown"] or ""))
    lines += [("Ready", known["ready"] or ""), ("Model", known["model"] or ""), ("URL", known["url"] or "")]
    last = known["lastRequestTime"]
    lines.append(("Last request", f"{ago(last, now)} ({last})" if last else "none that is known"))
    lines.append(("Next", f"{upcoming['display']} ({upcoming['why']})" if upcoming else "no change is known"))
    lines.append(("Last wake took", "" if known["wakeSeconds"] is None else f"{known['wakeSeconds']} s"))
    timeout = known["inactivityTimeout"]
    lines.append(("Sleeps after", f"{timeout} without a request" if timeout else "never for want of requests"))
    if schedule:
        lines.append(("Schedule", f"{schedule['timeZone']}, outside: {schedule.get('outside', 'Sleep')}"))
        lines += [("", f"on from {window['start']} to {window['stop']}") for window in schedule["windows"]]
    rows = (f"  {label:<15} {text}".rstrip() for label, text in lines if text)
    return "\n".join([f"{known['name']} (namespace {known['namespace']})", *rows]) + "\n"


def table(each: Sequence[Object], now: datetime, *, everywhere: bool) -> str:
    """What `status` prints without a name."""
    columns: list[tuple[str, Callable[[Object], str | None]]] = [
        ("NAME", lambda known: known["name"]),
        ("PHASE", lambda known: known["phase"]),
        ("READY", lambda known: known["ready"]),
        ("WHY", lambda known: known["reason"]),
        ("MODEL", lambda known: known["model"]),
        ("LAST REQUEST", lambda known: ago(known["lastRequestTime"], now)),
        ("NEXT", lambda known: (known["nextTransition"] or {}).get("display")),
    ]
    if everywhere:
        columns.insert(0, ("NAMESPACE", lambda known: known["namespace"]))
    rows = [[title for title, _ in columns], *([value(known) or "-" for _, value in columns] for known in each)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    return "".join("   ".join(f"{row[i]:<{widths[i]}}" for i in range(len(row))).rstrip() + "\n" for row in rows)


def tell(kubectl: Kubectl, name: str | None, output: str, *, everywhere: bool) -> None:
    """Prints one deployment, or all of them."""
    known = [facts(each) for each in ([kubectl.get(name)] if name else kubectl.get_all(everywhere=everywhere))]
    now = datetime.now(timezone.utc)  # noqa: UP017
    if output == "json":
        sys.stdout.write(json.dumps(known[0] if name else known, indent=2, ensure_ascii=False) + "\n")
    elif name:
        sys.stdout.write(page(known[0], now))
    elif known:
        sys.stdout.write(table(known, now, everywhere=everywhere))
    else:
        sys.stderr.write("no ClassifierDeployment found\n")


# -- the command line -------------------------------------------------------------------------------------------------


def duration(text: str) -> float:
    """Seconds of a duration as Kubernetes writes it, e.g. 90s, 5m, 1h30m."""
    if not re.fullmatch(r"([0-9]{1,6}(h|m|s))+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write e.g. 90s, 5m or 1h30m")
    units = {"h": 3600, "m": 60, "s": 1}
    return float(sum(int(number) * units[unit] for number, unit in re.findall(r"([0-9]+)(h|m|s)", text)))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cluster = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    cluster.add_argument("-n", "--namespace", help="namespace; default: that of the context")
    cluster.add_argument("--context", help="context of the kubeconfig; default: the current one")
    cluster.add_argument("--kubeconfig", help="kubeconfig file; default: as kubectl finds it")
    about = (__doc__ or "").split("\n\n")[0]
    top = argparse.ArgumentParser("kubectl classifiers", description=about, parents=[cluster])
    verbs = top.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    helps = {
        "wake": "wake a deployment that sleeps because nothing was asked, as a request would",
        "sleep": "send a deployment to sleep, as if nothing had been asked since its inactivityTimeout",
    }
    for verb, text in helps.items():
        one = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[cluster])
        one.add_argument("name", metavar="NAME", help="name of the ClassifierDeployment")
        one.add_argument("--wait", action="store_true", help=f"wait until it is {DONE[verb]}; fail if it does not")
        one.add_argument("--timeout", type=duration, help=f"how long to wait, e.g. 90s; default: {DEFAULT_TIMEOUT}")
    text = "tell how one deployment is, and why, or list all of them"
    status = verbs.add_parser("status", help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[cluster])
    status.add_argument("name", metavar="NAME", nargs="?", help="name of the ClassifierDeployment; default: all")
    status.add_argument("-A", "--all-namespaces", action="store_true", help="without NAME: those of all namespaces")
    status.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: text")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says; returns the exit status: 0, or 1 with a sentence on stderr."""
    reader = parser()
    options = reader.parse_args(arguments)
    chosen = {flag: getattr(options, flag, None) for flag in ("namespace", "context", "kubeconfig")}
    kubectl = Kubectl([f"--{flag}={value}" for flag, value in chosen.items() if value])
    try:
        if options.verb == "status":
            if options.name and options.all_namespaces:
                reader.error("--all-namespaces lists all deployments: leave it out, or NAME")
            tell(kubectl, options.name, options.output, everywhere=options.all_namespaces)
        else:
            if options.timeout is not None and not options.wait:
                reader.error("--timeout is how long --wait waits: add --wait, or leave it out")
            timeout = options.timeout if options.timeout is not None else duration(DEFAULT_TIMEOUT)
            change(kubectl, options.verb, options.name, timeout if options.wait else None)
    except PluginError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
