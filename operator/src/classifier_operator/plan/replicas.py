"""How many pods an awake deployment has."""

from classifier_operator.plan.types import DeploymentObserved


def wanted_replicas(observed: DeploymentObserved) -> int:
    """`replicas`, or what the requests in flight call for under autoscaling, which then ignores it."""
    spec = observed.deployment.spec
    if spec.autoscaling is None:
        return spec.replicas
    least, most = spec.autoscaling.min_replicas, max(spec.autoscaling.min_replicas, spec.autoscaling.max_replicas)
    now = observed.app.wanted if observed.app is not None else 0
    # Nobody knows the demand before the first answers of the pods: what is there stays.
    demand = now if observed.steady_demand is None else observed.steady_demand
    return min(most, max(least, demand))
