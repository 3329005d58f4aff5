"""`images` and `load`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from .. import kind, providers
from ..errors import ClusterError
from ..paths import cache_dir, repository
from ..progress import step
from ..providers import Provider
from . import node_store
from .buildah import Buildah
from .builder import Builder
from .contexts import IMAGES, PREFIX, Image, Plan, Recipe, app_version, content_digest, plan, qualified, stage
from .docker import Docker

KEEP = 2
"""So many versions of an image are kept, the newest."""


def print_references(names: Sequence[str], recipe: Recipe) -> None:
    """Print {name: reference} as JSON, without building anything."""
    plans = plan(recipe)
    print(json.dumps({name: plans[name].reference for name in _names(names)}, indent=2))


def build(names: Sequence[str], recipe: Recipe) -> list[str]:
    """Build what is not built yet, with what it builds on; the references asked for."""
    wanted = _names(names)
    plans = plan(recipe, stage(cache_dir() / "images" / "contexts"))
    needed = {name for wish in wanted for name in (IMAGES[wish].base, wish) if name}
    builder = _builder()
    builder.prepare()
    for name in IMAGES:
        if name in needed:
            _build_one(builder, plans[name], recipe.wheels)
    return [plans[name].reference for name in wanted]


def build_on(base: str, name: str, context: Path, recipe: Recipe) -> str:
    """Build an image that is none of the project's on one of them, from a context of the caller's; its reference."""
    (below,) = build([base], recipe)
    arguments = {"BASE_IMAGE": qualified(below)}
    reference = f"{PREFIX}/{name}:{app_version()}-{content_digest(context, arguments)}"
    _build_one(_builder(), Plan(Image(name, context.name, base), reference, context, arguments), recipe.wheels)
    return reference


def load(names: Sequence[str], recipe: Recipe) -> None:
    """Take images into the cluster: references, or short names of the project's images."""
    provider = providers.current()
    if provider is None:
        raise ClusterError("No cluster is up: run `python3 tests/localcluster up` first")
    plans, builder = plan(recipe), _builder()
    for name in names:
        reference = qualified(plans[name].reference if name in plans else name)
        identity = builder.image_id(reference)
        if identity is None:
            raise ClusterError(f"There is no image {name}: build it first (`python3 tests/localcluster images`)")
        with step(f"load {name.rpartition('/')[2].partition(':')[0]}") as shown:
            shown.detail = reference
            shown.result = _load_one(provider, builder, reference, identity)


def wheels_folder(option: Path | None) -> Path | None:
    """The folder of wheels: the flag's, else what CLASSIFIER_WHEELS names, else one called wheels nearby, else none."""
    named = os.environ.get("CLASSIFIER_WHEELS")
    folder = option or (Path(named) if named else None)
    if folder is not None:
        if not folder.is_dir():
            raise ClusterError(f"There is no folder of wheels at {folder}")
        return folder.resolve()
    root = repository()
    nearby = [root / "wheels", root.parent / "wheels", *sorted(root.parent.glob("*/wheels"))]
    return next((folder for folder in nearby if folder.is_dir()), None)


def _build_one(builder: Builder, planned: Plan, wheels: Path | None) -> None:
    reference = qualified(planned.reference)
    with step(f"image {planned.image.name}") as shown:
        shown.result = planned.reference
        if builder.image_id(reference) is not None:
            return
        builder.build(planned, wheels, shown)
        repository = reference.rpartition(":")[0]
        builder.remove(builder.tags(repository)[KEEP:])


def _load_one(provider: Provider, builder: Builder, reference: str, identity: str) -> str:
    if provider is Provider.TOLD:
        raise ClusterError("Images cannot be loaded into a cluster of your own: push them to a registry that it reads")
    if provider is Provider.KIND:
        kind.load(reference)
        return "loaded"
    if node_store.image_id(reference) == identity:
        return "is there"
    node_store.take_in(builder, reference, identity)
    repository = reference.rpartition(":")[0]
    if repository.startswith(f"docker.io/{PREFIX}/"):
        node_store.forget(repository, builder.tags(repository)[:KEEP])
    return "loaded"


def _names(names: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in IMAGES]
    if unknown:
        raise ClusterError(f"There is no image {unknown[0]}; the images are {', '.join(IMAGES)}")
    return list(names or IMAGES)


def _builder() -> Builder:
    return Docker() if providers.docker_answers() else Buildah()
