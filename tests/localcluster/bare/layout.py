"""One cluster's addresses and folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POD_CIDR = "198.18.0.0/16"
SERVICE_CIDR = "198.19.0.0/16"
BOTH_CIDRS = "198.18.0.0/15"
HOST = "198.18.0.1"
"""The machine's own address in the pod network: API server, kubelet and DNS listen there and on loopback only.

Both ranges are from the block that RFC 2544 sets aside for benchmarks, so they never clash with a real network.
"""
API_SERVICE = "198.19.0.1"
DOMAIN = "cluster.local"
NODE = "local"
BRIDGE = "cni0"
SERVICE_LINK = "svc0"
NETWORK = "classifier-localcluster"
"""The name of the CNI network, and of the cgroup that all pods are in."""
CGROUP = "classifier-localcluster"
STORAGE_PROVISIONER = "localcluster/folders"
PAUSE_IMAGE = "localcluster/pause:1"
GPUS = 8


@dataclass(frozen=True)
class Layout:
    """Where one cluster lives. `node` is False for etcd and the API server alone, which stay on loopback."""

    state: Path
    programs: Path
    cni_plugins: Path = Path("/usr/lib/cni")
    node: bool = True

    @property
    def kind(self) -> str:
        """What the processes of this cluster are marked with: there is one of each kind on a machine."""
        return "node" if self.node else "control-plane"

    @property
    def api_address(self) -> str:
        return HOST if self.node else "127.0.0.1"

    @property
    def api_port(self) -> int:
        return 6443 if self.node else 26443

    @property
    def server(self) -> str:
        return f"https://{self.api_address}:{self.api_port}"

    @property
    def etcd_port(self) -> int:
        return 23790 if self.node else 26790

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def run(self) -> Path:
        """What does not outlive its processes: sockets, containerd's state, network namespaces."""
        return self.state / "run"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    def program(self, name: str) -> Path:
        return self.programs / name

    def certificate(self, name: str) -> Path:
        return self.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.pki / f"{name}.key"

    def config_file(self, name: str) -> Path:
        return self.config / name
