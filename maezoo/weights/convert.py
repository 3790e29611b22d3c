"""`maezoo convert`: from any layout to any layout, tensors bit for bit."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maezoo.errors import LayoutError
from maezoo.files import user_path, write_safetensors, written_whole
from maezoo.model import VARIANTS, Variant, build_mae
from maezoo.vocabulary import Layout, Part
from maezoo.weights.configs import CONFIG, PREPROCESSOR, maezoo_config, transformers_config, transformers_preprocessor
from maezoo.weights.description import Description, infer_variant
from maezoo.weights.foreign import ForeignWeights, read_foreign
from maezoo.weights.known import hint_for_name
from maezoo.weights.layouts import is_head
from maezoo.weights.metadata import WeightsMetadata
from maezoo.weights.reader import require_finite
from maezoo.weights.save import to_layout

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
    """

    source: Path
    output: Path
    from_layout: Layout
    to_layout: Layout
    tensors: int
    dropped: tuple[str, ...]
    metadata: WeightsMetadata | None

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
) -> Conversion:
    """Write a weights file in another layout.

    Args:
        source: a safetensors or PyTorch file, or a folder with one; FAIR's published files are recognised.
        output: a safetensors file; or a folder, which also gets the layout's configuration files.
        to: its layout.
        like: what the source does not say of itself; what it does say must agree.
        encoder_only: leave the decoder out.

    Returns:
        What was done. Heads of fine-tuned files stay where the layout has a name for them.

    Raises:
        WeightsNotFoundError, IntegrityError: no file, a damaged one, a pickle with code in it.
        LayoutError: a key is missing, surplus or of another shape; the target or the preprocessing is not known and the
            output needs it; or the layout has no name for a part.

    Example:
        >>> import tempfile
        >>> output = Path(tempfile.mkdtemp()) / "tiny.safetensors"
        >>> convert("maezoo/weights/mae_vit_tiny.safetensors", output, to="fair").from_layout
        'maezoo'
    """
    output = user_path(output)
    read = read_foreign(user_path(source))
    known = _reconciled(read, like or Description())
    tensors, removed = _without_decoder(read.tensors) if encoder_only else (read.tensors, ())
    variant = known.variant or infer_variant({key: tuple(tensor.shape) for key, tensor in tensors.items()})
    known = replace(known, variant=variant)
    _check(read.path, tensors, variant)
    folder = output.suffix != ".safetensors"
    metadata = _metadata(read, known, tensors, needed=to == "maezoo" or folder)
    path = output / "model.safetensors" if folder else output
    if os.path.realpath(path) == os.path.realpath(read.path):
        raise LayoutError(f"{path} is the file to convert, and would be written over; name another output.")
    header = metadata.to_header() if metadata is not None and to == "maezoo" else {"format": "pt"}
    named = to_layout(tensors, to)
    write_safetensors(path, named, header)
    if folder and metadata is not None:
        _write_configs(path.parent, metadata, to, tensors)
    return Conversion(read.path, path, read.layout, to, len(named), (*read.dropped, *removed), metadata)


def _reconciled(read: ForeignWeights, said: Description) -> Description:
    """Join what the source says with what the user says; contradictions are errors."""
    for fact in ("variant", "target"):
        theirs, ours = getattr(read.description, fact), getattr(said, fact)
        if theirs is not None and ours is not None and theirs != ours:
            raise LayoutError(f"{read.path} says that its {fact} is {theirs!r}; you say {ours!r}.")
    return said.filled_from(read.description)


def _without_decoder(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Leave the decoder out, by name."""
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith("decoder.")}
    return kept, tuple(key for key in tensors if key not in kept)


def _check(path: Path, tensors: dict[str, Tensor], variant: Variant | None) -> None:
    """Refuse tensors that are not exactly those of an architecture, or not finite."""
    if variant is None:
        raise LayoutError(
            f"{path} has the shapes of none of {', '.join(VARIANTS)}; of another size, put its config.json beside it."
        )
    with torch.device("meta"):
        model = build_mae(variant, decoder=any(key.startswith("decoder.") for key in tensors), init=False)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    if "encoder.fc_norm.weight" in tensors:  # fine-tuned files have this norm in place of the encoder's
        shapes = {key: shape for key, shape in shapes.items() if not key.startswith("encoder.norm.")}
    missing = [key for key in shapes if key not in tensors]
    surplus = [key for key in tensors if key not in shapes and not is_head(key)]
    if missing or surplus:
        problem = f"lacks {', '.join(missing[:6])}" if missing else f"has no place for {', '.join(surplus[:6])}"
        raise LayoutError(f"{path} is no whole {variant.name}: it {problem}.")
    for key, tensor in tensors.items():
        require_finite(tensor, f"{path}: {key}")
        flexible = (
            key.endswith("pos_embed") or key == "encoder.patch_embed.proj.weight" or key.startswith("decoder.pred")
        )
        if key in shapes and tensor.shape != shapes[key] and not (flexible and tensor.ndim == len(shapes[key])):
            raise LayoutError(
                f"{path}: {key} has shape {tuple(tensor.shape)}, {variant.name} has {tuple(shapes[key])}."
            )


def _metadata(
    read: ForeignWeights, known: Description, tensors: dict[str, Tensor], *, needed: bool
) -> WeightsMetadata | None:
    """Return what the output says of itself; it is never made up."""
    if not needed and None in (known.target, known.preprocess):
        return None
    variant, target, preprocess = known.require(read.path, _HOW + hint_for_name(read.path))
    parts: tuple[Part, ...] = ("encoder", "decoder") if "decoder.mask_token" in tensors else ("encoder",)
    origin = known.origin or f"converted from {read.path.name} ({read.layout} layout)"
    return WeightsMetadata(variant, target, preprocess, parts, known.license or "unknown", origin)


def _write_configs(folder: Path, metadata: WeightsMetadata, to: Layout, tensors: dict[str, Tensor]) -> None:
    """Write the configuration files that readers of a layout look for."""
    in_chans = tensors["encoder.patch_embed.proj.weight"].shape[1]
    files: dict[str, Any] = {}
    if to == "transformers":
        files = {
            CONFIG: transformers_config(metadata, in_chans),
            PREPROCESSOR: transformers_preprocessor(metadata.preprocess),
        }
    elif to in ("maezoo", "timm"):
        files = {CONFIG: maezoo_config(metadata, in_chans)}
    for name, data in files.items():
        with written_whole(folder / name) as temporary:
            temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
