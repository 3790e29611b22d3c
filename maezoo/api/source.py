"""A name or a path becomes all that is needed to build and fill a model, before any tensor is read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maezoo.checkpoints.bounds import bounded_preprocessing, check_shapes
from maezoo.checkpoints.configs import describe_folder
from maezoo.checkpoints.folders import weights_in
from maezoo.checkpoints.layouts import recognise_layout
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.reader import open_weights, shapes_of
from maezoo.errors import ArgumentError, LayoutError
from maezoo.hub.fetching import fetch
from maezoo.hub.repository import HUB, Repository
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description, infer_variant
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.manifest.licensing import acknowledge_license, is_noncommercial
from maezoo.model import Variant, find_variant
from maezoo.paths import user_path
from maezoo.vocabulary import Layout, Target

__all__ = ["WeightsSource", "find_source"]

LOCAL = "local-dir:"


@dataclass(frozen=True)
class WeightsSource:
    """What to build, and the file to fill it from.

    Attributes:
        name: what the model will call itself.
        variant: the architecture.
        target: what the decoder predicts.
        preprocess: how images are prepared.
        has_decoder: whether a decoder can be had.
        path: the file; `None` for random weights.
        layout: its key layout; `None` to recognise it.
        entry: the manifest's entry, if the weights have one.
        license: of the weights.
        in_chans: channels that the weights take.
        mapped: whether the file is one of the cache or the package, which nobody changes; a user's own is copied.
    """

    name: str
    variant: Variant
    target: Target
    preprocess: Preprocessing
    has_decoder: bool = True
    path: Path | None = None
    layout: Layout | None = None
    entry: WeightsEntry | None = None
    license: str = "unknown"
    in_chans: int = 3
    mapped: bool = False


def find_source(
    name: str,
    *,
    pretrained: bool,
    checkpoint: str | Path | None,
    cache_dir: str | Path | None,
    offline: bool | None,
) -> WeightsSource:
    """Resolve the arguments of `maezoo.create`; downloads when it must.

    Raises:
        UnknownModelError, WeightsNotFoundError, IntegrityError, OfflineError, LayoutError: see `maezoo.create`.
    """
    placed = name.startswith((LOCAL, HUB))
    if checkpoint is not None:
        if pretrained or placed:
            raise ArgumentError("pass one of pretrained=True, checkpoint= and a local-dir: or hf-hub: name.")
        return _from_checkpoint(name, user_path(checkpoint))
    if name.startswith(LOCAL):
        path = weights_in(user_path(name.removeprefix(LOCAL)))
        return _described(name, path, describe_folder(path.parent))
    if name.startswith(HUB):
        return _from_repository(name, cache_dir, offline)
    if not pretrained:
        return _untrained(name)
    return _from_entry(load_manifest().find(name), cache_dir, offline)


def _from_entry(entry: WeightsEntry, cache_dir: str | Path | None, offline: bool | None) -> WeightsSource:
    """Describe the weights of the manifest; fetch their file."""
    path = fetch(entry, cache_dir=cache_dir, offline=offline)
    with open_weights(path) as file:
        shapes = shapes_of(file, entry.layout)
    return WeightsSource(
        name=entry.name,
        variant=find_variant(entry.architecture),
        target=entry.target,
        preprocess=entry.preprocess,
        has_decoder=entry.has_decoder,
        path=path,
        layout=entry.layout,
        entry=entry,
        license=entry.license,
        in_chans=_channels(shapes),
        mapped=True,
    )


def _untrained(name: str) -> WeightsSource:
    """Describe a model with random weights: a bare architecture, or a tag whose preprocessing and target to take."""
    architecture, dot, _ = name.partition(".")
    variant = find_variant(architecture)
    if not dot:
        return WeightsSource(name, variant, "pixel", Preprocessing(size=(variant.img_size, variant.img_size)))
    entry = load_manifest().find(name)
    return WeightsSource(name, variant, entry.target, entry.preprocess)


def _from_checkpoint(name: str, path: Path) -> WeightsSource:
    """Describe a model to be filled from a file: by what the file says of itself, and by the tag in the name."""
    architecture, tagged, _ = name.partition(".")
    variant = find_variant(architecture)
    likeness = Description.of_entry(load_manifest().find(name)) if tagged else Description(variant)
    source = _described(name, weights_in(path), describe_folder(path if path.is_dir() else path.parent), likeness)
    if source.variant.name != architecture:
        raise LayoutError(f"{path} holds {source.variant.name}, not {architecture}; ask for {source.variant.name!r}.")
    if likeness.target not in (None, source.target):
        raise LayoutError(
            f"{path} says that it was trained for the target {source.target!r}, {name} is for {likeness.target!r}: "
            f"another training. Ask for {architecture!r}."
        )
    return source


def _from_repository(name: str, cache_dir: str | Path | None, offline: bool | None) -> WeightsSource:
    """Describe the weights of a hub's repository; those of the manifest keep its pins, other revisions its facts."""
    repository = Repository.parse(name.removeprefix(HUB))
    known = repository.entry()
    if known is not None and repository.revision in (None, known.revision):
        return replace(_from_entry(known, cache_dir, offline), name=name)
    likeness = Description.of_entry(known) if known is not None else Description()
    path = repository.fetch(cache_dir=cache_dir, offline=offline)
    with open_weights(path) as file:
        speaks = WeightsMetadata.from_header(file.header, path) is not None
    if not speaks:
        repository.fetch_configs(path, cache_dir=cache_dir, offline=offline)
    source = _described(name, path, Description() if speaks else describe_folder(path.parent), likeness)
    return replace(source, mapped=True)


def _described(name: str, path: Path, beside: Description, likeness: Description | None = None) -> WeightsSource:
    """Describe a file by its header, else by what stands beside it, else by weights that it is said to be like."""
    with open_weights(path) as file:
        metadata = WeightsMetadata.from_header(file.header, path)
        layout = recognise_layout(file.keys)
        shapes = shapes_of(file, layout)
    if metadata is not None:
        known = Description(metadata.variant, metadata.target, metadata.preprocess, metadata.license)
    else:
        known = beside.filled_from(likeness or Description()).filled_from(Description(infer_variant(shapes)))
    variant, target, preprocess = known.require(path, _how(name))
    in_chans = _channels(shapes)
    try:
        check_shapes(variant, shapes)
        bounded_preprocessing(preprocess, variant.patch_size, in_chans)
    except ValueError as error:
        raise LayoutError(f"{path} does not fit what is said of it: {error}.") from error
    if is_noncommercial(known.license or ""):
        acknowledge_license(name, known.license or "")
    has_decoder = any(key.startswith("decoder.") for key in shapes)
    license_ = known.license or "unknown"
    return WeightsSource(
        name, variant, target, preprocess, has_decoder, path, layout, license=license_, in_chans=in_chans
    )


def _channels(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the channels that a file's patch embedding takes; 3 where it is not there to tell."""
    filters = shapes.get("encoder.patch_embed.proj.weight", ())
    return filters[1] if len(filters) == 4 else 3


def _how(name: str) -> str:
    """Say how a user can tell what a file does not."""
    architecture = name.partition(".")[0]
    tags = [entry.name for entry in load_manifest().entries.values() if entry.architecture == architecture]
    like = f"Name the weights it is like ({', '.join(tags)}) in create(…, checkpoint=…), or write" if tags else "Write"
    return f"{like} it into the file: `maezoo convert IN OUT --target pixel|normpix --preprocess … | --like NAME`."
