"""What the API server accepts as a ClassifierTrainingJob, and what it says where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api import names
from classifier_operator.api.training import TrainingJobSpec
from integration.schema_server import LEAST, SchemaServer, merged

pytestmark = pytest.mark.integration
JOBS = names.TRAINING_JOB_PLURAL
LEAST_JOB = LEAST[JOBS]

ACCEPTED: dict[str, dict[str, Any]] = {
    "the least": {},
    "hub": {"baseModel": {"uri": "hf://Qwen/Qwen3-4B-Base"}},
    "hub at a revision": {"baseModel": {"uri": "hf://Qwen/Qwen3-4B-Base@refs/pr/3"}},
    "top of a claim": {"baseModel": {"uri": "pvc://models"}},
    "a file of the image": {"baseModel": {"uri": "file:///opt/models/a"}, "trainDataset": {"uri": "file:///data/a b"}},
    "secret": {"baseModel": {"secretName": "hf-token"}},
    "config map": {"trainDataset": {"uri": None, "configMap": {"name": "data", "key": "train.jsonl"}}},
    "checkpoint of another job": {"baseModel": {"uri": None, "checkpoint": {"trainingJobName": "earlier"}}},
    "epoch of another job": {
        "baseModel": {"uri": None, "checkpoint": {"trainingJobName": "earlier", "name": "epoch-2"}, "secretName": "s3"}
    },
    "object stores": {
        "baseModel": {"uri": "s3://models/qwen3/base"},
        "trainDataset": {"uri": "s3://data/train.jsonl.zst", "secretName": "store"},
        "testDataset": {"uri": "s3://data/test.jsonl.zst", "secretName": "store"},
        "output": {"uri": "s3://models/news", "secretName": "store", "ifExists": "Fail"},
    },
    "web": {
        "baseModel": {"uri": "https://models.example/a.tar.gz"},
        "trainDataset": {"uri": "https://data.example:8443/rows.csv?version=2"},
    },
    "hub data": {
        "trainDataset": {"uri": "hf://datasets/org/name", "hub": {"config": "en", "split": "train"}},
        "testDataset": {"uri": "hf://datasets/org/name@refs%2Fconvert%2Fparquet/**/test-*.parquet"},
    },
    "format and columns": {
        "trainDataset": {"format": "CSV", "columns": {"prompt": "text", "completion": "Thema"}, "limit": 1000},
        "testDataset": {"uri": "file:///t.parquet", "format": "Parquet", "columns": {"labels": ["spam", "ham"]}},
    },
    "validation": {"validation": {"split": 0.05}},
    "no validation": {"validation": {"split": 0}},
    "shares": {"rebalance": {"shares": {"positive": 0.3, "negative": 0.7}}},
    "shares of three": {"rebalance": {"shares": {"a": 0.1, "b": 0.2, "c": 0.7}}},
    "one share": {"rebalance": {"shares": {"a": 1}}},
    "counts": {"rebalance": {"counts": {"positive": 200, "negative": 0}}, "taskType": "Binary"},
    "test functions": {
        "testFunctions": [
            {"builtin": "SampleMatchCombined"},
            {"builtin": "LabelMatch"},
            {"name": "cost", "configMap": {"name": "functions", "key": "cost.py"}},
            {"name": "gain_2", "uri": "pvc://functions/gain.py"},
            {"name": "loss3", "uri": "file:///opt/loss.py"},
        ]
    },
    "checkpoints": {"checkpoints": {"keep": "Best", "format": "Merged"}, "report": {"rows": False}},
    "nodes on an object store": {"nodes": 64, "output": {"uri": "s3://models/news"}},
    "nodes on a shared claim": {"nodes": 2, "output": {"claim": {"accessModes": ["ReadWriteMany"]}}},
    "nodes on a claim that exists": {"nodes": 2, "output": {"claim": {"name": "models"}}},
    "one node": {"nodes": 1},
    "full": {"hyperparameters": {"method": "Full"}},
    "split": {"testDataset": {"split": 0.2}},
    "test claim": {"testDataset": {"uri": "pvc://data/test.jsonl"}},
    "test config map": {"testDataset": {"configMap": {"name": "data", "key": "test.jsonl"}}},
    "head only": {"hyperparameters": {"method": "HeadOnly", "maxLength": 64}},
    "every hyperparameter": {
        "hyperparameters": {
            "method": "LoRA",
            "epochs": 3,
            "learningRate": 2e-4,
            "headLearningRate": 1e-3,
            "batchSize": 16,
            "maxLength": 1024,
            "template": "{prompt}\nTopic:",
            "scheduler": "Cosine",
            "warmupRatio": 0.06,
            "weightDecay": 0.01,
            "maxGradNorm": 1.0,
            "lora": {"rank": 16, "alpha": 32, "dropout": 0, "targetModules": ["q_proj", "v_proj"]},
            "precision": "Float32",
            "seed": 0,
            "truncationSide": "Left",
            "earlyStopping": {"patience": 2},
            "classWeights": "None",
            "targetPrior": "AsTrained",
            "selectBy": "AveragePrecision",
            "calibrate": False,
            "stateEvery": "1h30m",
            "negativeLabel": "not spam",
        }
    },
    "template Auto": {"hyperparameters": {"template": "Auto"}},
    "claim that exists": {"output": {"claim": {"name": "models", "path": "runs/news"}, "ifExists": "Fail"}},
    "claim that is made": {
        "output": {
            "claim": {
                "size": "50Gi",
                "storageClassName": "fast",
                "accessModes": ["ReadWriteMany"],
                "whenDeleted": "Delete",
            }
        }
    },
    "resources": {"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}, "requests": {"cpu": "500m"}}},
    "batch job": {
        "suspend": True,
        "backoffLimit": 0,
        "activeDeadlineSeconds": 60,
        "ttlSecondsAfterFinished": 0,
        "image": "registry.example/trainer:1@sha256:" + "a" * 64,
    },
    "pod template": {
        "podTemplate": {
            "metadata": {"labels": {"team": "a"}, "annotations": {"example.com/note": "any text"}},
            "spec": {
                "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                            ]
                        }
                    },
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 1,
                                "podAffinityTerm": {
                                    "topologyKey": "zone",
                                    "labelSelector": {"matchLabels": {"a": "b"}},
                                },
                            }
                        ]
                    },
                },
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
                ],
                "priorityClassName": "high",
                "schedulerName": "volcano",
                "runtimeClassName": "nvidia",
                "imagePullSecrets": [{"name": "registry"}],
                "env": [
                    {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
                ],
                "volumes": [
                    {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "map", "configMap": {"name": "m", "items": [{"key": "a", "path": "b"}]}},
                    {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}},
                    {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                ],
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "map", "mountPath": "/data"}],
            },
        }
    },
}

POD = "spec.podTemplate.spec"


def pod(**spec: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": spec}}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no base model": ({"baseModel": None}, "spec.baseModel: Required value"),
    "no dataset": ({"trainDataset": None}, "spec.trainDataset: Required value"),
    "empty dataset": ({"trainDataset": {"uri": None}}, "trainDataset needs exactly one of uri and configMap"),
    "two datasets": (
        {"trainDataset": {"configMap": {"name": "a", "key": "b"}}},
        "trainDataset needs exactly one of uri and configMap",
    ),
    "empty test set": ({"testDataset": {}}, "testDataset needs exactly one of split, uri and configMap"),
    "two test sets": (
        {"testDataset": {"split": 0.2, "uri": "pvc://a/b"}},
        "testDataset needs exactly one of split, uri and configMap",
    ),
    "unknown scheme": (
        {"baseModel": {"uri": "gs://a/b"}},
        "baseModel.uri must be hf://org/name[@revision], pvc://claim/path, s3://bucket/prefix, "
        "https://host/archive.tar.gz or file:///path",
    ),
    "no bucket": ({"baseModel": {"uri": "s3://models"}}, "s3://bucket/prefix"),
    "plain http": ({"trainDataset": {"uri": "http://host/a.csv"}}, "https://host/path"),
    "password in an address": ({"trainDataset": {"uri": "https://me:secret@host/a.csv"}}, "https://host/path"),
    "no base": ({"baseModel": {"uri": None}}, "baseModel needs exactly one of uri and checkpoint"),
    "two bases": (
        {"baseModel": {"checkpoint": {"trainingJobName": "earlier"}}},
        "baseModel needs exactly one of uri and checkpoint",
    ),
    "no such checkpoint": (
        {"baseModel": {"uri": None, "checkpoint": {"trainingJobName": "earlier", "name": "first"}}},
        "checkpoint.name must be best, last, or epoch-N",
    ),
    "completion and labels": (
        {"trainDataset": {"columns": {"completion": "a", "labels": ["b"]}}},
        "columns needs completion, or labels (a column a label), not both",
    ),
    "hub without the hub": (
        {"trainDataset": {"hub": {"split": "train"}}},
        "trainDataset.hub chooses a part of a data set of the hub: leave it out, or write uri: hf://datasets/org/name",
    ),
    "hub of a split": ({"testDataset": {"split": 0.1, "hub": {}}}, "testDataset.hub chooses a part of a data set"),
    "no rows": ({"trainDataset": {"limit": 0}}, "limit in body should be greater than or equal to 1"),
    "format in small letters": ({"trainDataset": {"format": "csv"}}, 'supported values: "Auto", "JSONL", "JSON"'),
    "validation of all": ({"validation": {"split": 1}}, "spec.validation.split in body should be less than 1"),
    "no rebalance": ({"rebalance": {}}, "rebalance needs exactly one of shares and counts"),
    "two rebalances": (
        {"rebalance": {"shares": {"a": 1}, "counts": {"a": 1}}},
        "rebalance needs exactly one of shares and counts",
    ),
    "shares above 1": ({"rebalance": {"shares": {"a": 0.5, "b": 0.6}}}, "rebalance.shares must add up to 1"),
    "shares below 1": ({"rebalance": {"shares": {"a": 0.5, "b": 0.4}}}, "rebalance.shares must add up to 1"),
    "negative share": ({"rebalance": {"shares": {"a": -0.5, "b": 1}}}, "should be greater than or equal to 0"),
    "half a row": ({"rebalance": {"counts": {"a": 0.5}}}, "spec.rebalance.counts.a"),
    "rebalance of several labels": (
        {"rebalance": {"counts": {"a": 1}}, "taskType": "Multilabel"},
        "rebalance does not work with taskType Multilabel, whose rows have several labels",
    ),
    "early stopping without patience": (
        {"hyperparameters": {"earlyStopping": {}}},
        "spec.hyperparameters.earlyStopping.patience: Required value",
    ),
    "no duration": ({"hyperparameters": {"stateEvery": "10 minutes"}}, "spec.hyperparameters.stateEvery"),
    "no function": ({"testFunctions": [{}]}, "a test function needs exactly one of builtin, configMap and uri"),
    "two functions in one": (
        {"testFunctions": [{"builtin": "LabelMatch", "uri": "pvc://a/b"}]},
        "a test function needs exactly one of builtin, configMap and uri",
    ),
    "function without a name": (
        {"testFunctions": [{"uri": "pvc://a/b"}]},
        "a test function needs a name with configMap or uri, and none with builtin",
    ),
    "built-in with a name": (
        {"testFunctions": [{"builtin": "LabelMatch", "name": "a"}]},
        "a test function needs a name with configMap or uri, and none with builtin",
    ),
    "a function twice": (
        {"testFunctions": [{"name": "a", "uri": "pvc://a/b"}, {"name": "a", "uri": "pvc://a/c"}]},
        "testFunctions has a function twice: give each a name of its own",
    ),
    "a function called as a metric": (
        {"testFunctions": [{"name": "macrof1", "uri": "pvc://a/b"}]},
        "the name of a test function is that of a score which is there anyway: call yours otherwise",
    ),
    "a built-in twice": (
        {"testFunctions": [{"builtin": "LabelMatch"}, {"builtin": "LabelMatch"}]},
        "testFunctions has a function twice",
    ),
    "function with a dash": ({"testFunctions": [{"name": "a-b", "uri": "pvc://a/b"}]}, "testFunctions[0].name"),
    "function on an object store": (
        {"testFunctions": [{"name": "a", "uri": "s3://a/b"}]},
        "the uri of a test function must be pvc://claim/path or file:///path",
    ),
    "claim as uri": (
        {"output": {"uri": "pvc://models/news"}},
        "output.uri must be s3://bucket/prefix; to write to a claim, leave it out or write output.claim",
    ),
    "two outputs": (
        {"output": {"uri": "s3://models/news", "claim": {"name": "models"}}},
        "output needs claim or uri, not both",
    ),
    "secret of a claim": (
        {"output": {"claim": {"name": "models"}, "secretName": "store"}},
        "output.secretName opens output.uri: write output.uri, or leave secretName out",
    ),
    "nodes without an output": ({"nodes": 2}, "nodes above 1 need an output that all of them can write"),
    "nodes on a claim of one node": (
        {"nodes": 2, "output": {"claim": {"accessModes": ["ReadWriteOnce"]}}},
        "nodes above 1 need an output that all of them can write",
    ),
    "no node": ({"nodes": 0}, "nodes in body should be greater than or equal to 1"),
    "too many nodes": ({"nodes": 65}, "nodes in body should be less than or equal to 64"),
    "a bare hub name": ({"baseModel": {"uri": "Qwen/Qwen3-4B-Base"}}, "baseModel.uri must be hf://org/name"),
    "hub without organisation": ({"baseModel": {"uri": "hf://gpt2"}}, "baseModel.uri must be hf://org/name"),
    "file of a host": ({"baseModel": {"uri": "file://opt/a"}}, "file:///path"),
    "claim in capitals": ({"baseModel": {"uri": "pvc://Models/a"}}, "pvc://claim/path"),
    "a way out of the claim": ({"baseModel": {"uri": "pvc://models/../a"}}, "must not contain '..'"),
    "hub model as a dataset": (
        {"trainDataset": {"uri": "hf://a/b"}},
        "a dataset must be pvc://claim/path, s3://bucket/key, hf://datasets/org/name[@revision][/glob], "
        "https://host/path or file:///path",
    ),
    "split of all": ({"testDataset": {"split": 1}}, "spec.testDataset.split in body should be less than 1"),
    "split of nothing": ({"testDataset": {"split": 0}}, "spec.testDataset.split in body should be greater than 0"),
    "task type": ({"taskType": "binary"}, 'supported values: "Auto", "Binary", "Multiclass", "Multilabel"'),
    "epochs with HeadOnly": (
        {"hyperparameters": {"method": "HeadOnly", "epochs": 2}},
        "leave epochs out, or write method: LoRA",
    ),
    "no epochs": ({"hyperparameters": {"epochs": 0}}, "epochs in body should be greater than or equal to 1"),
    "half an epoch": ({"hyperparameters": {"epochs": 0.5}}, "spec.hyperparameters.epochs"),
    "learning rate as text": ({"hyperparameters": {"learningRate": "2e-4"}}, "must be of type number"),
    "learning rate 0": ({"hyperparameters": {"learningRate": 0}}, "learningRate in body should be greater than 0"),
    "template without prompt": (
        {"hyperparameters": {"template": "Topic:"}},
        "hyperparameters.template must contain {prompt}",
    ),
    "template with two prompts": (
        {"hyperparameters": {"template": "{prompt} {prompt}"}},
        "hyperparameters.template must contain {prompt} exactly once",
    ),
    "AllLinear among layers": (
        {"hyperparameters": {"lora": {"targetModules": ["AllLinear"]}}},
        "AllLinear is the default: leave lora.targetModules out",
    ),
    "unknown hyperparameter": (
        {"hyperparameters": {"learning_rate": 1e-4}},
        'unknown field "spec.hyperparameters.learning_rate"',
    ),
    "unknown field": ({"technique": "SFT"}, 'unknown field "spec.technique"'),
    "existing claim with a size": (
        {"output": {"claim": {"name": "models", "size": "1Gi"}}},
        "output.claim.name is a claim that exists: leave out size",
    ),
    "output path out of the claim": (
        {"output": {"claim": {"path": "a/../b"}}},
        "output.claim.path must not contain '.' or '..'",
    ),
    "absolute output path": ({"output": {"claim": {"path": "/a"}}}, "spec.output.claim.path"),
    "a quantity that is none": ({"resources": {"limits": {"memory": "lots"}}}, "spec.resources.limits.memory"),
    "backoff limit below 0": ({"backoffLimit": -1}, "backoffLimit in body should be greater than or equal to 0"),
    "image with a blank": ({"image": "a b"}, "spec.image"),
    "host path": (
        pod(volumes=[{"name": "host", "hostPath": {"path": "/"}}]),
        f'unknown field "{POD}.volumes[0].hostPath"',
    ),
    "volume of two kinds": (
        pod(volumes=[{"name": "a", "emptyDir": {}, "configMap": {"name": "b"}}]),
        "a volume needs exactly one of persistentVolumeClaim, configMap, secret and emptyDir",
    ),
    "security context": (pod(securityContext={"runAsUser": 0}), f'unknown field "{POD}.securityContext"'),
    "host network": (pod(hostNetwork=True), f'unknown field "{POD}.hostNetwork"'),
    "containers": (pod(containers=[]), f'unknown field "{POD}.containers"'),
    "service account": (pod(serviceAccountName="root"), f'unknown field "{POD}.serviceAccountName"'),
    "our variable": (
        pod(env=[{"name": "CLASSIFIER_RUN_CONFIG", "value": "{}"}]),
        "environment variables named CLASSIFIER_* belong to the operator",
    ),
    "two values": (
        pod(env=[{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]),
        "write either value or valueFrom",
    ),
    "no source of a value": (
        pod(env=[{"name": "A", "valueFrom": {}}]),
        "valueFrom needs exactly one of secretKeyRef, configMapKeyRef and fieldRef",
    ),
    "our folder": (
        pod(volumeMounts=[{"name": "a", "mountPath": "/inputs/train"}]),
        "/inputs, /output and /tmp belong to the operator",
    ),
    "a variable twice": (pod(env=[{"name": "A"}, {"name": "A"}]), "Duplicate value"),
}

NAME_SENTENCE = "metadata.name must have at most 48 characters, only a-z, 0-9 and '-', begin with a letter"


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepts(schema: SchemaServer, case: str) -> None:
    spec = merged(LEAST_JOB, ACCEPTED[case])
    assert schema.refusal(JOBS, spec) == ""
    # What the API server lets in, the operator can read, and nothing is lost.
    assert TrainingJobSpec.from_json_object(spec).user_set() == spec


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_a_sentence(schema: SchemaServer, case: str) -> None:
    patch, sentence = REFUSED[case]
    assert sentence in schema.refusal(JOBS, merged(LEAST_JOB, patch))


def test_refuses_a_job_that_starts_from_itself(schema: SchemaServer) -> None:
    base = {"uri": None, "checkpoint": {"trainingJobName": "circle"}}
    said = schema.refusal(JOBS, merged(LEAST_JOB, {"baseModel": base}), "circle")
    assert "names this job itself: write the name of another, earlier one" in said
    assert schema.refusal(JOBS, merged(LEAST_JOB, {"baseModel": base}), "circle-2") == ""


@pytest.mark.parametrize("name", ["a", "news-2", "x" * names.MAX_NAME_LENGTH])
def test_accepts_names(schema: SchemaServer, name: str) -> None:
    assert schema.refusal(JOBS, LEAST_JOB, name) == ""


@pytest.mark.parametrize("name", ["2news", "a.b", "x" * (names.MAX_NAME_LENGTH + 1)])
def test_refuses_names_that_children_cannot_have(schema: SchemaServer, name: str) -> None:
    assert NAME_SENTENCE in schema.refusal(JOBS, LEAST_JOB, name)
