"""Settings come from the environment."""

from __future__ import annotations

import pytest

from classifier_operator.settings import Settings


def test_every_setting_has_a_variable() -> None:
    environment = {
        "CLASSIFIER_TRAINER_IMAGE": "registry/trainer:1",
        "CLASSIFIER_LEASE_SECONDS": "3.5",
        "CLASSIFIER_WORKERS": "4",
        "CLASSIFIER_NAMESPACE": "there",
        "OTHER": "x",
    }
    settings = Settings.from_environment(environment)
    assert (settings.trainer_image, settings.lease_seconds, settings.workers) == ("registry/trainer:1", 3.5, 4)
    assert settings.namespace == "there"
    assert settings.server_image == Settings().server_image


def test_a_wrong_number_is_named() -> None:
    with pytest.raises(ValueError, match=r"CLASSIFIER_WORKERS must be a number, but is 'many'"):
        Settings.from_environment({"CLASSIFIER_WORKERS": "many"})
