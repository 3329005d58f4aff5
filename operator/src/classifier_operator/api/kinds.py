"""The two kinds as whole objects, parsed once at the edge of the operator."""

from classifier_operator.api.base import Model
from classifier_operator.api.deployment import DeploymentSpec, DeploymentStatus
from classifier_operator.api.meta import ObjectMeta
from classifier_operator.api.training import TrainingJobSpec
from classifier_operator.api.training_status import TrainingJobStatus


class ClassifierTrainingJob(Model):
    """Fine-tunes a text classifier from a dataset and a base model."""

    metadata: ObjectMeta
    spec: TrainingJobSpec
    status: TrainingJobStatus = TrainingJobStatus()


class ClassifierDeployment(Model):
    """Serves a text classifier over HTTP."""

    metadata: ObjectMeta
    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()
