"""Where pods may run: the scheduling fields of the Pod template, with the names and meanings of core/v1."""

from typing import Annotated, Literal

from pydantic import Field

from classifier_operator.api.base import Model
from classifier_operator.api.scalars import LabelKey, LabelValue, ObjectName

LabelMap = Annotated[dict[str, LabelValue], Field(max_length=64)]


class Toleration(Model):
    """Lets the pods run on nodes with a matching taint."""

    key: LabelKey | None = None
    """Key of the taint; absent with operator Exists: every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How key and value are compared. Default: Equal."""
    value: LabelValue | None = None
    """Value of the taint; leave it out with operator Exists."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent: every effect."""
    toleration_seconds: int | None = Field(default=None, ge=0)
    """With effect NoExecute: seconds that the pod stays on the node after the taint came. Default: for ever."""


class SelectorRequirement(Model):
    """One requirement on a label."""

    key: LabelKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How the label is compared with the values. Gt and Lt: only for nodes."""
    values: list[LabelValue] | None = Field(default=None, max_length=64)
    """Values to compare with; leave them out with Exists and DoesNotExist."""


Requirements = Annotated[list[SelectorRequirement], Field(max_length=32)]


class LabelSelector(Model):
    """Chooses pods by their labels; all requirements must hold."""

    match_labels: LabelMap | None = None
    """Labels that the pods must have."""
    match_expressions: Requirements | None = None
    """Requirements that the pods' labels must fulfil."""


class NodeSelectorTerm(Model):
    """Chooses nodes; all requirements must hold."""

    match_expressions: Requirements | None = None
    """Requirements on the node's labels."""
    match_fields: Requirements | None = None
    """Requirements on the node's fields; the only one is metadata.name."""


class NodeSelector(Model):
    """Chooses nodes that fulfil any of the terms."""

    node_selector_terms: list[NodeSelectorTerm] = Field(min_length=1, max_length=16)
    """Terms, of which one must hold."""


class PreferredNode(Model):
    """A preference for nodes."""

    weight: int = Field(ge=1, le=100)
    """Weight of the preference, 1 to 100."""
    preference: NodeSelectorTerm
    """The nodes that are preferred."""


class NodeAffinity(Model):
    """Which nodes the pods need or prefer."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that the pods need."""
    preferred_during_scheduling_ignored_during_execution: list[PreferredNode] | None = Field(
        default=None, max_length=16
    )
    """Nodes that the pods prefer."""


class PodAffinityTerm(Model):
    """Pods to be near to or far from."""

    topology_key: LabelKey
    """Label of nodes; nodes with the same value count as one place."""
    label_selector: LabelSelector | None = None
    """The pods that are meant."""
    namespaces: list[ObjectName] | None = Field(default=None, max_length=32)
    """Namespaces of those pods. Default: the namespace of this object."""


class WeightedPodAffinityTerm(Model):
    """A preference for being near to or far from pods."""

    weight: int = Field(ge=1, le=100)
    """Weight of the preference, 1 to 100."""
    pod_affinity_term: PodAffinityTerm
    """The pods that are meant."""


class PodAffinity(Model):
    """Which pods the pods need or prefer to be near to (podAffinity) or far from (podAntiAffinity)."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] | None = Field(
        default=None, max_length=16
    )
    """Terms that must hold."""
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] | None = Field(
        default=None, max_length=16
    )
    """Terms that should hold."""


class Affinity(Model):
    """Which nodes and which neighbours the pods need or prefer."""

    node_affinity: NodeAffinity | None = None
    """Affinity to nodes."""
    pod_affinity: PodAffinity | None = None
    """Affinity to other pods."""
    pod_anti_affinity: PodAffinity | None = None
    """Distance from other pods."""


class TopologySpreadConstraint(Model):
    """How the pods are spread over places such as zones."""

    max_skew: int = Field(ge=1, le=1000)
    """Greatest allowed difference between two places in the number of matching pods."""
    topology_key: LabelKey
    """Label of nodes; nodes with the same value count as one place."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    """What to do where the skew cannot be kept."""
    label_selector: LabelSelector | None = None
    """The pods that are counted."""
    min_domains: int | None = Field(default=None, ge=1, le=1000)
    """Smallest number of places, with DoNotSchedule."""
