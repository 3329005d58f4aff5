"""Writes the CRDs of the two kinds: `python -m classifier_operator.api.crdgen [--check]`.

They go to `crds/`, and once more into the chart, because Helm reads nothing outside a chart. docs/reference.md tells
the same to people.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel

from classifier_operator.api import names
from classifier_operator.api.base import JsonObject, rule
from classifier_operator.api.kinds import ClassifierDeployment, ClassifierTrainingJob
from classifier_operator.api.reference import reference
from classifier_operator.api.structural import structural_schema

_ROOT: Final = Path(__file__).resolve().parents[4]
_HEADER: Final = "# Generated from operator/src/classifier_operator/api by `make generate`. Do not edit.\n"
CHART_FOLDER: Final = Path("helm/classifier-operator/files/crds")
CRD_FOLDER: Final = Path("crds")
REFERENCE: Final = Path("docs/reference.md")


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; wide columns are shown with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Kind:
    """What a CRD says beside the schema."""

    model: type[BaseModel]
    kind: str
    plural: str
    singular: str
    short: str
    columns: Sequence[Column]
    scale: bool = False
    rules: Sequence[dict[str, str]] = ()
    """Rules that look at the whole object."""


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")
_MESSAGE: Final = Column("Message", ".status.message", wide=True)

KINDS: Final = (
    Kind(
        ClassifierTrainingJob,
        names.TRAINING_JOB_KIND,
        names.TRAINING_JOB_PLURAL,
        names.TRAINING_JOB_SINGULAR,
        names.TRAINING_JOB_SHORT,
        (
            Column("Phase", ".status.phase"),
            Column("Progress", ".status.progress.display"),
            Column("Loss", ".status.progress.loss", "number"),
            Column("Score", ".status.score"),
            Column("ETA", ".status.progress.eta"),
            _AGE,
            Column("Base Model", ".status.baseModel.display", wide=True),
            Column("Attempt", ".status.attempt", "integer", wide=True),
            _MESSAGE,
        ),
        rules=(
            rule(
                "!has(self.spec.baseModel.checkpoint)"
                " || self.spec.baseModel.checkpoint.trainingJobName != self.metadata.name",
                "baseModel.checkpoint.trainingJobName names this job itself: write the name of another, earlier one",
            ),
        ),
    ),
    Kind(
        ClassifierDeployment,
        names.DEPLOYMENT_KIND,
        names.DEPLOYMENT_PLURAL,
        names.DEPLOYMENT_SINGULAR,
        names.DEPLOYMENT_SHORT,
        (
            Column("Phase", ".status.phase"),
            Column("Ready", ".status.ready"),
            Column("Model", ".status.model.display"),
            Column("URL", ".status.url"),
            Column("Next", ".status.nextTransition.display"),
            _AGE,
            _MESSAGE,
        ),
        scale=True,
    ),
)

_NAME_RULE: Final = rule(
    f"self.metadata.name.size() <= {names.MAX_NAME_LENGTH}"
    " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    f"metadata.name must have at most {names.MAX_NAME_LENGTH} characters, only a-z, 0-9 and '-', begin with a letter "
    "and end with a letter or digit, since pods and Services are named after it: write e.g. newsgroups-2",
)


def custom_resource_definition(kind: Kind) -> JsonObject:
    """The CRD of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": [names.CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> JsonObject:
    subresources: JsonObject = {"status": {}}
    if kind.scale:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root_schema(kind)},
        "subresources": subresources,
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.path,
                **({"priority": 1} if column.wide else {}),
            }
            for column in kind.columns
        ],
    }


def _root_schema(kind: Kind) -> JsonObject:
    parts = {name: kind.model.model_fields[name].annotation for name in ("spec", "status")}
    schemas = {
        name: structural_schema(part)
        for name, part in parts.items()
        if isinstance(part, type) and issubclass(part, BaseModel)
    }
    return {
        "type": "object",
        "description": " ".join((kind.model.__doc__ or "").split()),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Version of the API: {names.API_VERSION}."},
            "kind": {"type": "string", "description": f"Kind of the object: {kind.kind}."},
            "metadata": {"type": "object"},
            **schemas,
        },
        "x-kubernetes-validations": [_NAME_RULE, *kind.rules],
    }


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out in full instead of as anchors, which some readers of CRDs do not know."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def generate() -> dict[Path, str]:
    """The text of every generated file, by its path from the root of the project."""
    files: dict[Path, str] = {}
    for kind in KINDS:
        name = f"{names.GROUP}_{kind.plural}.yaml"
        definition = custom_resource_definition(kind)
        files[CRD_FOLDER / name] = _text(definition)
        kept = {**definition["metadata"], "annotations": {"helm.sh/resource-policy": "keep"}}
        files[CHART_FOLDER / name] = _text({**definition, "metadata": kept})
    files[REFERENCE] = reference({kind.kind: _root_schema(kind) for kind in KINDS})
    return files


def _text(definition: JsonObject) -> str:
    return _HEADER + yaml.dump(definition, Dumper=_Dumper, sort_keys=True, width=120, allow_unicode=True)


def stale_files(root: Path) -> list[Path]:
    """Generated files that are missing, differ, or should not be there; paths from the root."""
    files = generate()
    there = {path.relative_to(root) for folder in (CRD_FOLDER, CHART_FOLDER) for path in (root / folder).glob("*.yaml")}
    there |= {path for path in files if (root / path).is_file()}
    differing = {
        path for path, text in files.items() if path in there and (root / path).read_text(encoding="utf-8") != text
    }
    return sorted((there ^ files.keys()) | differing)


def write_files(root: Path) -> None:
    """Writes every generated file and removes what is not generated any more."""
    for path in stale_files(root):
        (root / path).unlink(missing_ok=True)
    for path, text in generate().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the CRDs, or only says which have drifted; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="crdgen", description="Generate the CRDs and their reference from the models."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file has drifted")
    parser.add_argument("--root", type=Path, default=_ROOT, help="root of the project")
    options = parser.parse_args(arguments)
    if not options.check:
        write_files(options.root)
        return 0
    stale = stale_files(options.root)
    for path in stale:
        sys.stderr.write(f"{path} has drifted from the models: run `make generate`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
