"""Asks a Service whether it answers: the last step before a deployment is called deployed."""

from classifier_operator.metrics import POLLS
from classifier_operator.pods.http import PodHttp, host


class ServiceProbe:
    """GET to the Service, as any caller would reach it."""

    def __init__(self, http: PodHttp, *, template: str) -> None:
        self._http = http
        self._template = template

    async def answers(self, *, name: str, namespace: str, cluster_ip: str, port: int) -> bool:
        """Whether the Service says that it is ready."""
        url = self._template.format(name=name, namespace=namespace, cluster_ip=host(cluster_ip), port=port)
        answer = await self._http.get(url)
        ready = answer is not None and answer.status == 200
        POLLS.labels("service", "answered" if ready else "silent").inc()
        return ready
