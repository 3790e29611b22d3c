"""A name or a path becomes all that is needed to build and fill a model, before any tensor is read."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.model import Variant, find_variant
from maezoo.preprocessing import Preprocessing
from maezoo.vocabulary import Layout, Target
from maezoo.weights.hub import fetch
from maezoo.weights.manifest import WeightsEntry, load_manifest
from maezoo.weights.metadata import WeightsMetadata

__all__ = ["WeightsSource", "find_source"]


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
        verified: the file's hash was checked.
    """

    name: str
    variant: Variant
    target: Target
    preprocess: Preprocessing
    has_decoder: bool = True
    path: Path | None = None
    layout: Layout | None = None
    entry: WeightsEntry | None = None
    verified: bool = False


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
    if checkpoint is not None:
        if pretrained:
            raise ValueError("pass pretrained=True or checkpoint=, not both.")
        return _from_checkpoint(name, Path(checkpoint))
    if not pretrained:
        return _untrained(name)
    entry = load_manifest().find(name)
    path = fetch(entry, cache_dir=cache_dir, offline=offline)
    return WeightsSource(
        name=entry.name,
        variant=find_variant(entry.architecture),
        target=entry.target,
        preprocess=entry.preprocess,
        has_decoder=entry.has_decoder,
        path=path,
        layout=entry.layout,
        entry=entry,
        verified=True,
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
    """Describe a model to be filled from a file, by the file's own metadata or by the tag in the name."""
    metadata = read_metadata(path)
    architecture, tagged, _ = name.partition(".")
    if metadata is not None:
        if metadata.variant.name != architecture:
            raise LayoutError(
                f"{path} holds {metadata.variant.name}, not {architecture}; ask for {metadata.variant.name!r}."
            )
        has_decoder = "decoder" in metadata.parts
        return WeightsSource(name, metadata.variant, metadata.target, metadata.preprocess, has_decoder, path)
    variant = find_variant(architecture)
    if not tagged:
        tags = [entry.name for entry in load_manifest().entries.values() if entry.architecture == architecture]
        example = tags[0] if tags else f"{architecture}.TAG"
        raise LayoutError(
            f"{path} does not say how its images are prepared nor what its decoder predicts. Name the weights it is like "
            f"({', '.join(tags)}), for example create({example!r}, checkpoint=…), or write both into the file with "
            f"`maezoo convert`."
        )
    entry = load_manifest().find(name)
    return WeightsSource(name, variant, entry.target, entry.preprocess, entry.has_decoder, path)


def read_metadata(path: Path) -> WeightsMetadata | None:
    """Read what a safetensors file says of itself; `None` when it has no metadata of ours.

    Raises:
        WeightsNotFoundError: no such file.
        IntegrityError: no whole safetensors file.
        LayoutError: metadata of ours that cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return WeightsMetadata.from_header(file.metadata(), path)
    except FileNotFoundError as error:
        raise WeightsNotFoundError(f"there is no file {path}.") from error
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"{path} is not a whole safetensors file: {error}. `maezoo convert` reads .pth files."
        ) from error
