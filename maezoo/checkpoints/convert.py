"""`maezoo convert`: from any layout to any layout, tensors bit for bit."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from maezoo.checkpoints.check import check_tensors
from maezoo.checkpoints.configs import CONFIG, PREPROCESSOR
from maezoo.checkpoints.foreign import ForeignWeights, read_foreign
from maezoo.checkpoints.metadata import SOURCE_KEY, WeightsMetadata
from maezoo.checkpoints.save import to_layout
from maezoo.checkpoints.sharing import shared_tensors, write_folder
from maezoo.checkpoints.timm_config import default_pool, head_facts
from maezoo.checkpoints.transformers_config import transformers_config, transformers_preprocessor
from maezoo.errors import LayoutError
from maezoo.files import written_whole
from maezoo.manifest.description import Description, hint_for_name
from maezoo.model.facts import PAPER, Facts
from maezoo.model.variants import facts_in, match_variant, numbers_of
from maezoo.paths import user_path
from maezoo.tensorfiles import write_safetensors
from maezoo.vocabulary import Layout, Part

__all__ = ["Conversion", "convert"]

_HOW = "Say it: --target pixel|normpix, --preprocess JSON, --architecture NAME, or --like NAME for all that NAME has."


@dataclass(frozen=True)
class Conversion:
    """What was done.

    Attributes:
        source: the file that was read.
        output: the file that was written.
        from_layout: of the source.
        to_layout: of the output.
        tensors: how many were written.
        dropped: keys that were left out, by our names or the source's.
        metadata: what the output says of itself; `None` if the layout has no place for it and it was not known.
        taken: the prefix, or the place in a pickle, of the state dict that was read; empty where there is none.
        others: the other state dicts in the source; `take` chooses one of them.
        classes: of a trained head that the output has; 0 where there is none.
        global_pool: how the head's input is pooled, in a folder that timm reads; else `None`.
        pool_is_known: whether the source says so; if not, it is timm's usual one.
    """

    source: Path
    output: Path
    from_layout: Layout
    to_layout: Layout
    tensors: int
    dropped: tuple[str, ...]
    metadata: WeightsMetadata | None
    taken: str = ""
    others: tuple[str, ...] = ()
    classes: int = 0
    global_pool: str | None = None
    pool_is_known: bool = True

    def to_data(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        metadata = self.metadata and self.metadata.to_data()
        return {**vars(self), "source": str(self.source), "output": str(self.output), "metadata": metadata}


def convert(
    source: str | Path,
    output: str | Path,
    *,
    to: Layout = "maezoo",
    like: Description | None = None,
    encoder_only: bool = False,
    take: str | None = None,
    published: str | None = None,
) -> Conversion:
    """Write a weights file in another layout.

    Args:
        source: a safetensors or PyTorch file, or a folder with one; FAIR's published files are recognised.
        output: a safetensors file; or a folder, which also gets the layout's configuration files.
        to: its layout.
        like: what the source does not say of itself; what it does say must agree.
        encoder_only: leave the decoder out.
        take: which of several state dicts in the source, by its name or prefix there, such as `"model_ema"` or
            `"teacher"`; `None` is the model itself before an average of it.
        published: the sha256 of a source in the cache, verified. It is written into the output's header. `like` then
            says all that is known of the source: configuration files next to it are not read.

    Returns:
        What was done, and which state dict was taken. Heads of fine-tuned files are kept where the layout has a name
        for them.

    Raises:
        WeightsNotFoundError, IntegrityError: no file, a damaged one, something else, a pickle with code in it.
        LayoutError: a key is missing, surplus or of another shape; the target or the preprocessing is not known and the
            output needs it; the layout has no name for a part; or `create` could not read the output.

    Example:
        >>> import tempfile
        >>> output = Path(tempfile.mkdtemp()) / "tiny.safetensors"
        >>> convert("maezoo/checkpoints/mae_vit_tiny.safetensors", output, to="fair").from_layout
        'maezoo'
    """
    output = user_path(output)
    folder = _is_folder(output)
    read = read_foreign(user_path(source), take=take, alone=published is not None)
    tensors, removed = _without_decoder(read.tensors) if encoder_only else (read.tensors, ())
    known, facts = _known(read, like or Description(), tensors)
    check_tensors(
        read.path,
        tensors,
        known.variant,
        known.preprocess,
        facts=facts,
        square=to in ("fair", "prithvi")
        or (to == "timm" and not folder)
        or (to == "transformers" and not (folder and _is_strip(known))),
        exact=to == "transformers",
    )
    metadata = _metadata(read, known, tensors, needed=to == "maezoo" or folder)
    path = output / "model.safetensors" if folder else output
    if path.exists() and path.samefile(read.path):
        raise LayoutError(f"{path} is the file to convert, and would be written over; name another output.", path=path)
    if folder and metadata is not None and to in ("maezoo", "timm"):
        named, of_head = shared_tensors(tensors), head_facts(read.path.parent)
        write_folder(output, named, metadata, of_head)
        pool = of_head.get("global_pool") or default_pool(named)
    else:
        named, of_head, pool = to_layout(tensors, to), {}, None
        _write(path, named, to, metadata, configs=folder, published=published)
    head = tensors.get("encoder.head.weight")
    return Conversion(
        source=read.path,
        output=path,
        from_layout=read.layout,
        to_layout=to,
        tensors=len(named),
        dropped=(*read.dropped, *removed),
        metadata=metadata,
        taken=read.taken,
        others=read.others,
        classes=0 if head is None else head.shape[0],
        global_pool=pool if head is not None else None,
        pool_is_known=head is None or pool is None or "global_pool" in of_head or "encoder.fc_norm.weight" in tensors,
    )


def _known(read: ForeignWeights, said: Description, tensors: dict[str, Tensor]) -> tuple[Description, Facts]:
    """Return all that is known of a source: by its own words, by the user's, and by the shapes of its tensors."""
    known = _reconciled(read, said)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    told = facts_in(shapes, known.facts or PAPER)
    variant = known.variant or match_variant(numbers_of(shapes), told.class_tokens)
    facts = facts_in(shapes, known.facts or (variant.facts if variant is not None else PAPER))
    if read.norm_epsilon is not None:
        facts = replace(facts, norm_epsilon=read.norm_epsilon)
    return replace(known, variant=variant, facts=facts), facts


def _is_strip(known: Description) -> bool:
    """Tell whether transformers takes images that are not square: resized without a crop, of 4, 9, 16, … patches."""
    if known.preprocess is None or known.variant is None or known.preprocess.resize != "squash":
        return False
    h, w = (side // known.variant.patch_size for side in known.preprocess.size)
    one_token = known.facts is None or known.facts.class_tokens == 1
    return one_token and math.isqrt(h * w) ** 2 == h * w


def _is_folder(output: Path) -> bool:
    """Tell whether an output is to be a folder, or refuse what it can be neither as a file nor as a folder."""
    if output.suffix.lower() in (".pth", ".pt", ".bin", ".ckpt", ".pkl"):
        message = f"{output}: maezoo writes safetensors only; name a .safetensors file, or a folder."
        raise LayoutError(message, path=output)
    folder = output.suffix.lower() != ".safetensors"
    if folder and output.exists() and not output.is_dir():
        raise LayoutError(f"{output} is a file; name a .safetensors file, or a folder.", path=output)
    if not folder and output.is_dir():
        message = f"{output} is a folder; name a file in it, or a folder that is not called .safetensors."
        raise LayoutError(message, path=output)
    return folder


def _reconciled(read: ForeignWeights, said: Description) -> Description:
    """Join what the source says with what the user says; contradictions are errors."""
    for fact in ("variant", "target"):
        theirs, ours = getattr(read.description, fact), getattr(said, fact)
        if theirs is not None and ours is not None and theirs != ours:
            message = f"{read.path} says that its {fact} is {theirs!r}; you say {ours!r}."
            raise LayoutError(message, path=read.path, expected=ours, found=theirs)
    return said.filled_from(read.description)


def _without_decoder(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Leave the decoder out, by name."""
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith("decoder.")}
    return kept, tuple(key for key in tensors if key not in kept)


def _metadata(
    read: ForeignWeights, known: Description, tensors: dict[str, Tensor], *, needed: bool
) -> WeightsMetadata | None:
    """Return what the output says of itself; it is never made up."""
    if not needed and (known.preprocess is None or (known.target is None and "decoder.mask_token" in tensors)):
        return None
    decoder = "decoder.mask_token" in tensors
    variant, target, preprocess = known.require(read.path, _HOW + hint_for_name(read.path), decoder=decoder)
    parts: tuple[Part, ...] = ("encoder", "decoder") if decoder else ("encoder",)
    origin = known.origin or f"converted from {read.path.name} ({read.layout} layout)"
    facts = known.facts or variant.facts
    return WeightsMetadata(variant, target, preprocess, parts, known.license or "unknown", origin, facts)


def _write(
    path: Path,
    tensors: dict[str, Tensor],
    to: Layout,
    metadata: WeightsMetadata | None,
    *,
    configs: bool,
    published: str | None,
) -> None:
    """Write a file; for a folder also what transformers looks for next to it."""
    header = metadata.to_header() if metadata is not None and to == "maezoo" else {"format": "pt"}
    write_safetensors(path, tensors, header if published is None else {**header, SOURCE_KEY: published})
    if not configs or metadata is None or to != "transformers":
        return
    files = {
        CONFIG: transformers_config(metadata),
        PREPROCESSOR: transformers_preprocessor(metadata.preprocess),
    }
    for name, data in files.items():
        with written_whole(path.parent / name) as temporary:
            temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
