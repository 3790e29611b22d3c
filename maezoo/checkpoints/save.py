"""Model to file, in any layout."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from maezoo.checkpoints.frames import has_frame_positions
from maezoo.checkpoints.layouts import foreign_keys, pixio_key
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.errors import LayoutError
from maezoo.model import MaskedAutoencoder
from maezoo.tensorfiles import write_safetensors
from maezoo.vocabulary import Layout

_FILTERS = "encoder.patch_embed.proj.weight"
_NONE = torch.empty(1, 1, 1, device="meta")

__all__ = ["apart", "save_model", "to_layout"]


def save_model(
    model: MaskedAutoencoder,
    path: str | Path,
    *,
    metadata: WeightsMetadata | None = None,
    layout: Layout = "maezoo",
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model as safetensors; the file appears complete or not at all.

    Args:
        model: the autoencoder.
        path: the file to make or replace.
        metadata: what the file says of itself; only the maezoo layout carries it.
        layout: how to name the tensors.
        dtype: number format on disk; the model's own when `None`.

    Raises:
        LayoutError: the layout has no name for one of the model's tensors (a decoder in the timm layout).

    Example:
        >>> import tempfile
        >>> from maezoo.model import VARIANTS, build_mae
        >>> model = build_mae(VARIANTS["mae_vit_tiny"])
        >>> save_model(model, Path(tempfile.mkdtemp()) / "tiny.safetensors", layout="transformers")
    """
    tensors = to_layout(model.state_dict(), layout)
    if dtype is not None:
        tensors = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    header = metadata.to_header() if metadata and layout == "maezoo" else {"format": "pt"}
    write_safetensors(Path(path), tensors, header)


def to_layout(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Rename our tensors to a layout's names, splitting what it splits; none shares memory with another.

    Raises:
        LayoutError: the layout has no name for a tensor.
    """
    tensors = _as_theirs(tensors, layout)
    pixio = layout == "transformers" and tensors.get("encoder.cls_token", _NONE).shape[1] > 1
    renamed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        names = foreign_keys(key, layout)
        if not names or (pixio and key.startswith("decoder.")):
            message = f"the {layout} layout has no name for {key}; leave that part out, or choose another layout."
            raise LayoutError(message, found=key)
        renamed |= dict(zip(names, tensor.detach().contiguous().chunk(len(names)), strict=True))
    return apart({pixio_key(key): tensor for key, tensor in renamed.items()} if pixio else renamed)


def _as_theirs(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Return our tensors in the shapes of a layout: several class tokens in one tensor, filters of videos."""
    found = dict(tensors)
    if layout not in ("maezoo", "timm") and "encoder.reg_token" in found:
        found["encoder.cls_token"] = torch.cat([found["encoder.cls_token"], found.pop("encoder.reg_token")], dim=1)
    if layout == "prithvi" and _FILTERS in found:
        if not has_frame_positions(found["encoder.pos_embed"]):
            raise LayoutError(
                "the prithvi layout is for models with 3-D positions (facts.positions, 'sincos3d'), and these are "
                "others; choose another layout.",
                found="encoder.pos_embed",
            )
        found[_FILTERS] = found[_FILTERS].unsqueeze(2)
    return found


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that overlap in memory with others, such as tied ones, which safetensors refuses to write."""
    ends: dict[torch.device, int] = {}
    for key in sorted(tensors, key=lambda key: tensors[key].data_ptr()):
        tensor = tensors[key]
        start = tensor.data_ptr()
        end = ends.get(tensor.device, 0)
        ends[tensor.device] = max(end, start + tensor.nbytes)
        if start < end:
            tensors[key] = tensor.clone()
    return tensors
