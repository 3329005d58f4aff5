"""Names of children fit into what Kubernetes allows, for the longest name of an object."""

import re

from classifier_operator.api import names

LONGEST = "a" * names.MAX_NAME_LENGTH
UID = "7c1f1a52-3a3e-4f0e-9d53-6a1a7a3f3c11"


def test_children_of_the_longest_name_fit_into_a_label() -> None:
    children = [names.job_name(LONGEST, UID), names.claim_name(LONGEST), names.service_name(LONGEST)]
    for name in children:
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert len(name) <= 63


def test_job_name_depends_on_the_uid_alone() -> None:
    other = UID.replace("7", "8")
    assert names.job_name("a", UID) == names.job_name("a", UID)
    assert names.job_name("a", UID) != names.job_name("a", other)


def test_selector_of_children_is_part_of_their_labels() -> None:
    key, _, value = names.MANAGED_BY_SELECTOR.partition("=")
    assert names.trainer_labels("a")[key] == value
    assert names.server_labels("a")[key] == value
    assert names.trainer_labels("a") != names.server_labels("a")
