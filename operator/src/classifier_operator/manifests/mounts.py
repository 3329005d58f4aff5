"""Where the things that an address names stand in a pod: claims and ConfigMaps become volumes."""

from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

INPUTS: Final = "/inputs"
OUTPUT: Final = "/output"
_CLAIM: Final = "pvc://"
_FOR_OUR_GROUP: Final = 0o440
"""The kubelet gives the files to root and to the pod's fsGroup."""


@dataclass(slots=True)
class Mounts:
    """Collects the volumes of a pod. One claim is one volume, however often it is named."""

    paths: dict[str, str] = field(default_factory=dict)
    """Absolute path in the pod by address."""
    volumes: list[Json] = field(default_factory=list)
    volume_mounts: list[Json] = field(default_factory=list)
    _claims: dict[str, str] = field(default_factory=dict)

    def add_uri(self, uri: str, role: str) -> None:
        """Mounts a `pvc://` address read-only below /inputs/<role>; every other scheme is the pod's own business."""
        if not uri.startswith(_CLAIM):
            return
        claim, path = split_claim(uri)
        self._mount_claim(claim, role, f"{INPUTS}/{role}", read_only=True)
        self.paths[uri] = _join(f"{INPUTS}/{role}", path)

    def add_config_map(self, uri: str, name: str, key: str, role: str) -> None:
        """Mounts one key of a ConfigMap below /inputs/<role>."""
        self.volumes.append({"name": role, "configMap": {"name": name, "items": [{"key": key, "path": key}]}})
        self.volume_mounts.append({"name": role, "mountPath": f"{INPUTS}/{role}", "readOnly": True})
        self.paths[uri] = f"{INPUTS}/{role}/{key}"

    def add_optional_secret(self, secret: str, role: str, path: str) -> None:
        """Mounts all of a Secret; where there is none the folder is empty, and the pod starts all the same."""
        source = {"secretName": secret, "optional": True, "defaultMode": _FOR_OUR_GROUP}
        self.volumes.append({"name": role, "secret": source})
        self.volume_mounts.append({"name": role, "mountPath": path, "readOnly": True})

    def add_output(self, uri: str) -> None:
        """Mounts the claim of the output at /output, to be written to; an object store needs no mount.

        The whole claim: with a subPath the kubelet would make the folder, as root, and the trainer could not write.
        """
        if not uri.startswith(_CLAIM):
            return
        claim, path = split_claim(uri)
        self._mount_claim(claim, "output", OUTPUT, read_only=False)
        self.paths[uri] = _join(OUTPUT, path)

    def add_scratch(self, name: str, path: str, *, memory: bool = False) -> None:
        """Mounts an empty folder that lives as long as the pod."""
        self.volumes.append({"name": name, "emptyDir": {"medium": "Memory"} if memory else {}})
        self.volume_mounts.append({"name": name, "mountPath": path})

    @property
    def claims(self) -> dict[str, bool]:
        """Names of the claims, and whether each is written to."""
        return {claim: role == "output" for claim, role in self._claims.items()}

    def _mount_claim(self, claim: str, role: str, path: str, *, read_only: bool) -> None:
        volume = self._claims.setdefault(claim, role)
        if volume == role:
            self.volumes.append({"name": role, "persistentVolumeClaim": {"claimName": claim}})
        mount: Json = {"name": volume, "mountPath": path}
        if read_only:
            mount["readOnly"] = True
        self.volume_mounts.append(mount)


def split_claim(uri: str) -> tuple[str, str]:
    """Claim and path of a `pvc://` address."""
    claim, _, path = uri.removeprefix(_CLAIM).partition("/")
    return claim, path


def _join(root: str, path: str) -> str:
    path = path.strip("/")
    return f"{root}/{path}" if path else root
