"""Which weights does a name mean? All that is needed to build and fill a model, before any tensor is read."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from maezoo.checkpoints.bounds import bounded_preprocessing, check_shapes
from maezoo.checkpoints.folders import describe_folder, weights_in
from maezoo.checkpoints.reader import WeightsFile, open_weights
from maezoo.errors import ArgumentError, LayoutError, UnknownModelError
from maezoo.hub.fetching import fetch
from maezoo.hub.repository import HUB, Repository
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.manifest.licensing import acknowledge_license, is_noncommercial
from maezoo.manifest.support import require_loadable
from maezoo.model.facts import PAPER, VIDEO, Facts
from maezoo.model.variants import VARIANTS, Variant, facts_in, find_variant, match_variant, numbers_of
from maezoo.paths import user_path
from maezoo.vocabulary import Layout, Target

__all__ = ["LOCAL", "WeightsSource", "find_source"]

LOCAL = "local-dir:"


@dataclass(frozen=True)
class WeightsSource:
    """What to build, and the file to fill it from; leaving its `with` statement closes the file.

    Attributes:
        name: what the model will call itself.
        variant: the architecture.
        target: what the decoder predicts; `None` where there is none and that is not known.
        preprocess: how images are prepared.
        has_decoder: whether the weights have a decoder.
        file: opened and verified; `None` for random weights.
        layout: its key layout.
        norm_epsilon: what the model's norms add to a variance; `None` for what the file says.
        grid: patch grid (h, w) of the file's positions; `None` for what the file says.
        entry: the manifest's entry, if the weights have one.
        license: of the weights.
        facts: what the weights ask of the model.
    """

    name: str
    variant: Variant
    target: Target | None
    preprocess: Preprocessing
    has_decoder: bool = True
    file: WeightsFile | None = None
    layout: Layout | None = None
    norm_epsilon: float | None = None
    grid: tuple[int, int] | None = None
    entry: WeightsEntry | None = None
    license: str = "unknown"
    facts: Facts = PAPER

    def __enter__(self) -> "WeightsSource":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()


def find_source(
    name: str,
    *,
    pretrained: bool,
    checkpoint: str | Path | None,
    cache_dir: str | Path | None,
    offline: bool | None,
    decoder: bool = True,
    likeness: Description | None = None,
) -> WeightsSource:
    """Resolve the arguments of `maezoo.create`; downloads when it must.

    Weights of a folder that nothing else says something of are described by `likeness`.

    Raises:
        UnknownModelError, UnsupportedWeightsError, WeightsNotFoundError, IntegrityError, OfflineError, LayoutError: see
            `maezoo.create`.
    """
    if not isinstance(name, str):
        raise ArgumentError(
            f"name is a text, such as 'mae_vit_base'; got {name!r}. A folder is named 'local-dir:path', and a file is "
            "passed as checkpoint= with the name of its architecture.",
            found=name,
        )
    if not name.startswith((LOCAL, HUB)) and ("/" in name or "\\" in name):  # a path: its first dot begins no tag
        raise UnknownModelError.for_name(name, VARIANTS)
    with ExitStack() as opened:  # closes the file if what follows fails
        if checkpoint is not None:
            if pretrained or name.startswith((LOCAL, HUB)):
                raise ArgumentError("pass one of pretrained=True, checkpoint= and a local-dir: or hf-hub: name.")
            source = _from_checkpoint(name, user_path(checkpoint), opened)
        elif name.startswith(LOCAL):
            source = _from_folder(name, user_path(name.removeprefix(LOCAL)), opened, likeness)
        elif name.startswith(HUB):
            source = _from_repository(name, decoder, cache_dir, offline, opened)
        elif pretrained:
            source = _from_entry(load_manifest().find(name), decoder, cache_dir, offline, opened)
        else:
            source = _untrained(name)
        opened.pop_all()
        return source


def _from_entry(
    entry: WeightsEntry, decoder: bool, cache_dir: str | Path | None, offline: bool | None, opened: ExitStack
) -> WeightsSource:
    """Describe the weights of the manifest; fetch their file."""
    require_loadable(entry)
    if _prepared_elsewhere(entry):
        found = _from_repository(f"{HUB}{entry.repo_id}@{entry.revision}", decoder, cache_dir, offline, opened)
        return replace(found, name=entry.name, entry=entry, license=entry.license)
    path = fetch(entry, decoder=decoder, cache_dir=cache_dir, offline=offline)
    file = opened.enter_context(open_weights(path, mapped=True))
    variant = find_variant(entry.architecture)
    h, w = entry.preprocess.size
    facts = entry.facts_of_model
    # A file that is one of two, or was converted, has other names than the published one.
    layout = file.layout if file.splits_decoder or file.is_converted else entry.layout
    return WeightsSource(
        name=entry.name,
        variant=variant,
        target=entry.target,
        preprocess=entry.preprocess,
        has_decoder=entry.has_decoder,
        file=file,
        layout=layout,
        # Neither a header nor a config.json next to a file in the cache overrules the manifest.
        norm_epsilon=facts.norm_epsilon,
        grid=(h // variant.patch_size, w // variant.patch_size),
        entry=entry,
        license=entry.license,
        facts=replace(facts, in_chans=file.channels(layout) or facts.in_chans),
    )


def _prepared_elsewhere(entry: WeightsEntry) -> bool:
    """Whether how images are prepared stands in the repository's config.json, and not in the manifest."""
    return entry.repo_id is not None and "preprocess.mean" in entry.unstated


def _untrained(name: str) -> WeightsSource:
    """Describe a model with random weights: a bare architecture, or a tag whose preprocessing and target to take."""
    architecture, dot, _ = name.partition(".")
    variant = find_variant(architecture)
    if not dot:
        preprocess = Preprocessing(size=(variant.img_size, variant.img_size))
        return WeightsSource(name, variant, "pixel", preprocess, facts=variant.facts)
    entry = load_manifest().find(name)
    return WeightsSource(name, variant, entry.target or "pixel", entry.preprocess, facts=entry.facts_of_model)


def _from_checkpoint(name: str, path: Path, opened: ExitStack) -> WeightsSource:
    """Describe a model to be filled from a file: by what the file says of itself, and by the tag in the name."""
    architecture, tagged, _ = name.partition(".")
    variant = find_variant(architecture)
    likeness = Description.of_entry(load_manifest().find(name)) if tagged else Description(variant)
    file = opened.enter_context(open_weights(weights_in(path)))
    source = _described(name, file, describe_folder(path if path.is_dir() else path.parent), likeness)
    if source.variant.name != architecture:
        raise LayoutError(
            f"{path} holds {source.variant.name}, not {architecture}; ask for {source.variant.name!r}.",
            path=path,
            expected=architecture,
            found=source.variant.name,
            suggestions=[source.variant.name],
        )
    if source.target is not None and likeness.target not in (None, source.target):
        raise LayoutError(
            f"{path} says that it was trained for the target {source.target!r}, {name} is for {likeness.target!r}: "
            f"another training. Ask for {architecture!r}.",
            path=path,
            expected=likeness.target,
            found=source.target,
            suggestions=[architecture],
        )
    return source


def _from_folder(name: str, folder: Path, opened: ExitStack, likeness: Description | None) -> WeightsSource:
    """Describe the weights of a folder."""
    file = opened.enter_context(open_weights(weights_in(folder)))
    return _described(name, file, describe_folder(file.path.parent), likeness)


def _from_repository(
    name: str, decoder: bool, cache_dir: str | Path | None, offline: bool | None, opened: ExitStack
) -> WeightsSource:
    """Describe the weights of a hub's repository; those of the manifest keep its pins, other revisions its facts."""
    repository = Repository.parse(name.removeprefix(HUB))
    known = repository.entry()
    if known is not None and repository.revision in (None, known.revision) and not _prepared_elsewhere(known):
        return replace(_from_entry(known, decoder, cache_dir, offline, opened), name=name)
    path = repository.fetch(decoder=decoder, cache_dir=cache_dir, offline=offline)
    file = opened.enter_context(open_weights(path, mapped=True))
    configured = Description()
    if file.metadata is None:
        repository.fetch_configs(path, cache_dir=cache_dir, offline=offline)
        configured = describe_folder(path.parent)
    return _described(name, file, configured, Description.of_entry(known) if known is not None else None)


def _described(
    name: str, file: WeightsFile, configured: Description, likeness: Description | None = None
) -> WeightsSource:
    """Describe a file by its header, else by what stands next to it, else by weights that it is said to be like."""
    metadata = file.metadata
    shapes = file.shapes(file.layout)
    if metadata is not None:
        known = Description(
            metadata.variant, metadata.target, metadata.preprocess, metadata.license, facts=metadata.facts
        )
    else:
        told = facts_in(shapes, PAPER)
        inferred = Description(
            match_variant(numbers_of(shapes), told.class_tokens), facts=VIDEO if file.is_of_videos else None
        )
        like = likeness or Description()
        known = replace(configured, facts=like.facts or configured.facts).filled_from(like).filled_from(inferred)
    has_decoder = any(key.startswith("decoder.") for key in shapes)
    has_decoder |= metadata is not None and "decoder" in metadata.parts  # in a file that is not next to it
    variant, target, preprocess = known.require(file.path, _how(name), decoder=has_decoder)
    facts = facts_in(shapes, known.facts or variant.facts)
    try:
        check_shapes(variant, shapes)
        bounded_preprocessing(preprocess, variant.patch_size, facts.in_chans)
    except ArgumentError as error:
        message = f"{file.path} does not fit what is said of it: {error}."
        raise LayoutError(message, path=file.path, expected=error.expected, found=error.found) from error
    if is_noncommercial(known.license or ""):
        acknowledge_license(name, known.license or "")
    return WeightsSource(
        name=name,
        variant=variant,
        target=target,
        preprocess=preprocess,
        has_decoder=has_decoder,
        file=file,
        layout=file.layout,
        license=known.license or "unknown",
        grid=_trained_grid(file, known.trained_size, variant, shapes, facts),
        facts=facts,
    )


def _trained_grid(
    file: WeightsFile,
    size: tuple[int, int] | None,
    variant: Variant,
    shapes: Mapping[str, tuple[int, ...]],
    facts: Facts,
) -> tuple[int, int] | None:
    """Return the patch grid of the images that positions are for, where a configuration says it."""
    if size is None or file.metadata is not None:
        return None
    h, w = size[0] // variant.patch_size, size[1] // variant.patch_size
    positions = shapes.get("encoder.pos_embed", ())
    if len(positions) == 3 and positions[1] - facts.class_tokens != h * w:
        raise LayoutError(
            f"{file.path} has positions of {positions[1] - facts.class_tokens} patches; config.json next to it says "
            f"images of {size[0]}x{size[1]}, which have {h * w}.",
            path=file.path,
            expected=h * w,
            found=positions[1] - facts.class_tokens,
        )
    return h, w


def _how(name: str) -> str:
    """Say how a user can tell what a file does not."""
    architecture = name.partition(".")[0]
    tags = [entry.name for entry in load_manifest().entries.values() if entry.architecture == architecture]
    like = f"Name the weights it is like ({', '.join(tags)}) in create(…, checkpoint=…), or write" if tags else "Write"
    return f"{like} it into the file: `maezoo convert IN OUT --target pixel|normpix --preprocess … | --like NAME`."
