"""A little certificate authority of the cluster's own, made with openssl."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..shell import run
from .layout import API_SERVICE, DOMAIN, HOST, NODE, Layout
from .machine import kill, marked_processes
from .step import write

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
SERVER_NAMES = (
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    f"DNS:kubernetes.default.svc.{DOMAIN},DNS:localhost,IP:127.0.0.1,IP:{HOST},IP:{API_SERVICE}"
)


@dataclass(frozen=True)
class Identity:
    """Whom a certificate is for: the user and group of a client, and the names of a server."""

    name: str
    user: str
    group: str = ""
    names: str = ""


IDENTITIES = (
    Identity("admin", "admin", "system:masters"),
    Identity("etcd", "etcd", names="DNS:localhost,IP:127.0.0.1"),
    Identity("kube-apiserver", "kube-apiserver", names=SERVER_NAMES),
    Identity("kube-apiserver-etcd", "kube-apiserver"),
    Identity("kube-apiserver-kubelet", "kube-apiserver-kubelet", "system:masters"),
)
NODE_IDENTITIES = (
    Identity("kube-controller-manager", "system:kube-controller-manager"),
    Identity("kube-scheduler", "system:kube-scheduler"),
    Identity("kubelet", f"system:node:{NODE}", "system:nodes"),
    Identity("kubelet-server", f"system:node:{NODE}", names=f"DNS:{NODE},DNS:localhost,IP:127.0.0.1,IP:{HOST}"),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("coredns", "system:coredns"),
    Identity("storage-provisioner", "system:storage-provisioner"),
)


@dataclass(frozen=True)
class Certificates:
    """The authority and one certificate for each identity: all of them are there, or none."""

    layout: Layout
    name: str = "certificates"

    def ensure(self) -> str:
        identities = IDENTITIES + (NODE_IDENTITIES if self.layout.node else ())
        made = self.layout.pki / "made-for"
        wanted = "\n".join(map(repr, identities))
        if made.exists() and made.read_text() == wanted:
            return "kept"
        # Whoever runs with certificates of the old authority would talk to nobody: their steps start them again.
        kill(process.pid for process in marked_processes() if process.mark.state == self.layout.state)
        partial = self.layout.pki.with_name("pki.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, mode=0o700)
        subject = ("-subj", "/CN=classifier-localcluster")
        run(["openssl", "req", "-x509", "-nodes", *CURVE, *subject, "-days", "3650", *_files(partial, "ca")])
        run(["openssl", "genpkey", "-algorithm", "RSA", "-out", partial / "service-accounts.key"])
        for identity in identities:
            _issue(partial, identity)
        write(partial / "made-for", wanted)
        shutil.rmtree(self.layout.pki, ignore_errors=True)
        partial.rename(self.layout.pki)
        return "made"

    def remove(self) -> None:
        shutil.rmtree(self.layout.pki, ignore_errors=True)


def _issue(folder: Path, identity: Identity) -> None:
    group = f"/O={identity.group}" if identity.group else ""
    extensions = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth,serverAuth"]
    if identity.names:
        extensions.append(f"subjectAltName={identity.names}")
    words = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        *CURVE,
        "-CA",
        str(folder / "ca.crt"),
        "-CAkey",
        str(folder / "ca.key"),
    ]
    for extension in extensions:
        words += ["-addext", extension]
    run([*words, "-subj", f"{group}/CN={identity.user}", "-days", "3650", *_files(folder, identity.name)])


def _files(folder: Path, name: str) -> list[str]:
    return ["-out", str(folder / f"{name}.crt"), "-keyout", str(folder / f"{name}.key")]
