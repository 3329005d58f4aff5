"""The components' configuration files as text: pure functions of the layout, each with a golden file in the tests."""

from __future__ import annotations

import base64
import json
from typing import Any

from .layout import BRIDGE, CGROUP, DOMAIN, HOST, NETWORK, PAUSE_IMAGE, POD_CIDR, Layout


def kubelet_config(layout: Layout) -> str:
    """KubeletConfiguration, as JSON (which is YAML)."""
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": HOST,
            "healthzBindAddress": "127.0.0.1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(layout.certificate("ca"))},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(layout.certificate("kubelet-server")),
            "tlsPrivateKeyFile": str(layout.key("kubelet-server")),
            "clusterDNS": [HOST],
            "clusterDomain": DOMAIN,
            "resolvConf": "/dev/null",  # pods ask our CoreDNS and nobody else
            "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{CGROUP}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,  # lowering it needs CAP_SYS_RESOURCE
            "makeIPTablesUtilChains": False,  # fewer traces; kube-proxy makes what it needs itself
            "podLogsDir": str(layout.state / "pod-logs"),
            "volumePluginDir": str(layout.state / "volume-plugins"),
            "maxPods": 250,
            "serializeImagePulls": False,
            "eventRecordQPS": 0,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
            # A developer's disk may be nearly full and is still good enough; images come by hand, so none may vanish.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        }
    )


def kube_proxy_config(layout: Layout) -> str:
    """KubeProxyConfiguration, as JSON."""
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(layout.config_file("kube-proxy.kubeconfig"))},
            "bindAddress": HOST,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "clusterCIDR": POD_CIDR,
            "mode": "iptables",
            "iptables": {"localhostNodePorts": False, "minSyncPeriod": "100ms"},
            "nodePortAddresses": [POD_CIDR],  # a NodePort is never open to the outside
            "oomScoreAdj": 0,
            # Machines in containers may not change the connection tracker's limits: leave them as they are.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
    )


def containerd_config(layout: Layout) -> str:
    """containerd's config.toml (version 2), with everything under our own folders."""
    return f"""\
version = 2
root = "{layout.state}/containerd"
state = "{layout.run}/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{layout.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE runc may not lower a container's score, and would fail.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{layout.cni_plugins}"
  conf_dir = "{layout.config}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  discard_unpacked_layers = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = "{layout.run}/runc"
"""


def cni_conflist(layout: Layout) -> str:
    """The pod network: a bridge, addresses from a folder of ours. Masquerading is one rule of our own for all pods."""
    return _json(
        {
            "cniVersion": "0.4.0",
            "name": NETWORK,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": BRIDGE,
                    "isGateway": True,
                    "ipMasq": False,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(layout.run / "addresses"),
                        "ranges": [[{"subnet": POD_CIDR, "gateway": HOST}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
    )


def corefile(layout: Layout, nameservers: tuple[str, ...]) -> str:
    """CoreDNS as a process of the host; names outside the cluster go to the machine's own name servers."""
    forward = f"    forward . {' '.join(nameservers)}\n" if nameservers else ""
    return f"""\
.:53 {{
    bind {HOST}
    errors
    ready 127.0.0.1:28181
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {layout.config_file("coredns.kubeconfig")}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
{forward}    cache 5
}}
"""


def kubeconfig(layout: Layout, user: str, credentials: dict[str, bytes] | None = None) -> str:
    """A kubeconfig for one user: by file names, or with `credentials` ("ca", "certificate", "key") inside."""
    if credentials is None:
        authority = {"certificate-authority": str(layout.certificate("ca"))}
        identity = {
            "client-certificate": str(layout.certificate(user)),
            "client-key": str(layout.key(user)),
        }
    else:
        inside = {name: base64.b64encode(content).decode() for name, content in credentials.items()}
        authority = {"certificate-authority-data": inside["ca"]}
        identity = {"client-certificate-data": inside["certificate"], "client-key-data": inside["key"]}
    name = "classifier-local" if layout.node else "classifier-control-plane"
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": layout.server, **authority}}],
            "users": [{"name": user, "user": identity}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
