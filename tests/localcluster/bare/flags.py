"""The components' command lines: pure functions of the layout, with golden files in the tests."""

from __future__ import annotations

from .layout import HOST, NODE, POD_CIDR, SERVICE_CIDR, STORAGE_PROVISIONER, Layout


def etcd(layout: Layout) -> list[str]:
    """etcd for clients with a certificate of ours; it need not survive a power cut, so it never waits for the disk."""
    client, peer = (f"127.0.0.1:{layout.etcd_port + offset}" for offset in (0, 1))
    return [
        str(layout.program("etcd")),
        "--name=local",
        f"--data-dir={layout.state}/etcd",
        f"--listen-client-urls=https://{client}",
        f"--advertise-client-urls=https://{client}",
        f"--listen-peer-urls=http://{peer}",
        f"--initial-advertise-peer-urls=http://{peer}",
        f"--initial-cluster=local=http://{peer}",
        f"--trusted-ca-file={layout.certificate('ca')}",
        f"--cert-file={layout.certificate('etcd')}",
        f"--key-file={layout.key('etcd')}",
        "--client-cert-auth",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=2147483648",
        "--auto-compaction-retention=5m",
        "--log-level=warn",
    ]


def kube_apiserver(layout: Layout) -> list[str]:
    flags = [
        str(layout.program("kube-apiserver")),
        f"--bind-address={layout.api_address}",
        f"--secure-port={layout.api_port}",
        f"--etcd-servers=https://127.0.0.1:{layout.etcd_port}",
        f"--etcd-cafile={layout.certificate('ca')}",
        f"--etcd-certfile={layout.certificate('kube-apiserver-etcd')}",
        f"--etcd-keyfile={layout.key('kube-apiserver-etcd')}",
        f"--client-ca-file={layout.certificate('ca')}",
        f"--tls-cert-file={layout.certificate('kube-apiserver')}",
        f"--tls-private-key-file={layout.key('kube-apiserver')}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={layout.key('service-accounts')}",
        f"--service-account-signing-key-file={layout.key('service-accounts')}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
    ]
    if layout.node:
        return [
            *flags,
            f"--advertise-address={HOST}",
            f"--kubelet-certificate-authority={layout.certificate('ca')}",
            f"--kubelet-client-certificate={layout.certificate('kube-apiserver-kubelet')}",
            f"--kubelet-client-key={layout.key('kube-apiserver-kubelet')}",
            "--kubelet-preferred-address-types=InternalIP",
        ]
    # On loopback alone there is no address that the Service `kubernetes` could point to. Nobody issues tokens or
    # default service accounts either, so pods need none.
    return [*flags, "--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount"]


def kube_controller_manager(layout: Layout) -> list[str]:
    kubeconfig = layout.config_file("kube-controller-manager.kubeconfig")
    return [
        str(layout.program("kube-controller-manager")),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--cluster-cidr={POD_CIDR}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--root-ca-file={layout.certificate('ca')}",
        f"--service-account-private-key-file={layout.key('service-accounts')}",
        f"--cluster-signing-cert-file={layout.certificate('ca')}",
        f"--cluster-signing-key-file={layout.key('ca')}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--profiling=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--concurrent-job-syncs=20",
    ]


def kube_scheduler(layout: Layout) -> list[str]:
    kubeconfig = layout.config_file("kube-scheduler.kubeconfig")
    return [
        str(layout.program("kube-scheduler")),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def containerd(layout: Layout, program: str = "/usr/bin/containerd") -> list[str]:
    return [program, f"--config={layout.config_file('containerd.toml')}"]


def kubelet(layout: Layout) -> list[str]:
    return [
        str(layout.program("kubelet")),
        f"--config={layout.config_file('kubelet.json')}",
        f"--kubeconfig={layout.config_file('kubelet.kubeconfig')}",
        f"--root-dir={layout.state}/kubelet",
        f"--cert-dir={layout.pki}",
        f"--hostname-override={NODE}",
        f"--node-ip={HOST}",
    ]


def kube_proxy(layout: Layout) -> list[str]:
    return [
        str(layout.program("kube-proxy")),
        f"--config={layout.config_file('kube-proxy.json')}",
        f"--hostname-override={NODE}",
    ]


def coredns(layout: Layout) -> list[str]:
    return [str(layout.program("coredns")), f"-conf={layout.config_file('Corefile')}"]


def storage_provisioner(layout: Layout) -> list[str]:
    return [
        str(layout.program("storage-provisioner")),
        f"--kubeconfig={layout.config_file('storage-provisioner.kubeconfig')}",
        f"--folder={layout.state}/volumes",
        f"--provisioner={STORAGE_PROVISIONER}",
    ]
