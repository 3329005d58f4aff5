"""Objects are parsed once, at the edge, into frozen models."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from classifier_operator.api.kinds import ClassifierDeployment, ClassifierTrainingJob
from classifier_operator.api.meta import Condition
from classifier_operator.api.training_status import TrainingJobStatus

METADATA = {"name": "news", "namespace": "default", "uid": "u-1", "generation": 3}


def job(**spec: Any) -> dict[str, Any]:
    default = {"baseModel": {"uri": "hf://a/b"}, "trainDataset": {"uri": "pvc://data/train.jsonl"}}
    return {"metadata": METADATA, "spec": default | spec}


def test_reads_a_training_job() -> None:
    read = ClassifierTrainingJob.from_json_object(job(hyperparameters={"learningRate": 2e-4}, suspend=True))
    assert read.metadata.generation == 3
    assert read.spec.base_model.uri == "hf://a/b"
    assert read.spec.hyperparameters is not None
    assert read.spec.hyperparameters.learning_rate == 2e-4
    assert read.spec.suspend is True
    assert read.status == TrainingJobStatus()


def test_user_set_is_what_the_user_wrote() -> None:
    spec = job(hyperparameters={"epochs": 1, "lora": {"rank": 4}}, testDataset={"split": 0.3})["spec"]
    read = ClassifierTrainingJob.from_json_object({"metadata": METADATA, "spec": spec})
    assert read.spec.user_set() == spec


def test_ignores_what_it_does_not_know() -> None:
    raw = job(fromTheFuture={"a": 1})
    raw["metadata"] = METADATA | {"managedFields": [{"manager": "kubectl"}]}
    assert ClassifierTrainingJob.from_json_object(raw) == ClassifierTrainingJob.from_json_object(job())


def test_objects_are_frozen() -> None:
    read = ClassifierTrainingJob.from_json_object(job())
    with pytest.raises(ValidationError, match="frozen"):
        read.spec.suspend = True  # type: ignore[misc]


def test_names_the_field_that_is_wrong() -> None:
    with pytest.raises(ValidationError) as caught:
        ClassifierTrainingJob.from_json_object(job(hyperparameters={"lora": {"rank": 0}}))
    assert caught.value.errors()[0]["loc"] == ("spec", "hyperparameters", "lora", "rank")


def test_deployment_has_its_defaults() -> None:
    raw = {"metadata": METADATA, "spec": {"model": {"checkpoint": {"trainingJobName": "news"}}}}
    spec = ClassifierDeployment.from_json_object(raw).spec
    assert spec.model.checkpoint is not None
    assert spec.model.checkpoint.name == "best"
    assert spec.replicas == 1
    assert spec.startup_timeout == timedelta(minutes=30)
    assert spec.update_strategy == "RollingUpdate"
    assert (spec.service.type, spec.service.port) == ("ClusterIP", 80)
    assert spec.suspend is False


@pytest.mark.parametrize("tokens", [4096, "Auto"])
def test_batch_tokens_are_a_number_or_auto(tokens: int | str) -> None:
    raw = {"metadata": METADATA, "spec": {"model": {"uri": "hf://a/b"}, "server": {"maxBatchTokens": tokens}}}
    read = ClassifierDeployment.from_json_object(raw)
    assert read.spec.server is not None
    assert read.spec.server.max_batch_tokens == tokens


def test_status_is_written_in_camel_case_without_what_is_absent() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    status = TrainingJobStatus(
        phase="Training",
        attempt=1,
        conditions=[Condition(type="Ready", status="True", reason="Running", last_transition_time=time)],
    )
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Running",
        "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    assert status.to_json_object() == {"phase": "Training", "attempt": 1, "conditions": [condition]}
    assert TrainingJobStatus.from_json_object(status.to_json_object()) == status
