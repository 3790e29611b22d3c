"""Tensors are checked: that they hold numbers, and, before they are written, that `create` could load them."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maezoo.checkpoints.adapt import Fit
from maezoo.checkpoints.bounds import bounded_preprocessing
from maezoo.checkpoints.layouts import is_head
from maezoo.errors import IntegrityError, LayoutError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, Facts, MaskedAutoencoder, Variant, build_mae
from maezoo.model.build import empty_weights

__all__ = ["check_tensors", "require_finite", "require_floating"]


def check_tensors(
    path: Path,
    tensors: dict[str, Tensor],
    variant: Variant | None,
    preprocess: Preprocessing | None,
    *,
    facts: Facts,
    square: bool,
    exact: bool,
) -> None:
    """Refuse tensors that are not exactly those of an architecture, not finite, or that `create` could not load.

    Args:
        path: what errors call the file.
        tensors: by our keys.
        variant: the architecture; `None` where it is not known.
        preprocess: how images are prepared, where known.
        facts: of the weights.
        square: refuse a grid that is not square, since the output cannot tell it.
        exact: refuse positions of another grid than that of the images, since they are not resized.

    Raises:
        LayoutError: a key is missing, surplus, or of a shape or dtype that does not fit.
        IntegrityError: a value is not finite.
    """
    if variant is None:
        raise LayoutError(
            f"{path} has the shapes of none of {', '.join(VARIANTS)}; for another size, put its config.json there.",
            path=path,
            expected=tuple(VARIANTS),
        )
    model = _empty_model(path, tensors, variant, preprocess, facts)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    if "encoder.fc_norm.weight" in tensors:  # fine-tuned files have this norm in place of the encoder's
        shapes = {key: shape for key, shape in shapes.items() if not key.startswith("encoder.norm.")}
    missing = [key for key in shapes if key not in tensors]
    surplus = [key for key in tensors if key not in shapes and not is_head(key)]
    if missing or surplus:
        problem = f"lacks {', '.join(missing[:6])}" if missing else f"has no place for {', '.join(surplus[:6])}"
        message = f"{path} is no complete {variant.name}: it {problem}."
        raise LayoutError(message, path=path, expected=tuple(missing), found=tuple(surplus))
    positions = tensors["encoder.pos_embed"]
    count = max(positions.shape[1] - model.num_prefix_tokens, 0) if positions.ndim == 3 else 0
    grid = _grid(path, count, variant, preprocess, square=square, exact=exact)
    fit = Fit(model, grid)
    for key, tensor in tensors.items():
        require_finite(tensor, f"{path}: {key}")
        if key in shapes:
            require_floating(tensor, f"{path}: {key}")
        if key in shapes and not fit.works(key, tuple(tensor.shape), shapes[key]):
            found, expected = tuple(tensor.shape), tuple(shapes[key])
            message = f"{path}: {key} has shape {found}, {variant.name} has {expected}."
            raise LayoutError(message, path=path, expected=expected, found=found)


def _empty_model(
    path: Path, tensors: dict[str, Tensor], variant: Variant, preprocess: Preprocessing | None, facts: Facts
) -> MaskedAutoencoder:
    """Build what `create` would build of the output, without memory."""
    filters = tensors.get("encoder.patch_embed.proj.weight")
    if filters is None or filters.ndim != 4 or not filters.numel():
        key = "encoder.patch_embed.proj.weight"
        message = f"{path} is no complete {variant.name}: it lacks the filters {key}."
        raise LayoutError(message, path=path, expected=(key,))
    if preprocess is not None:
        try:
            bounded_preprocessing(preprocess, variant.patch_size, filters.shape[1])
        except ValueError as error:
            raise LayoutError(f"{path}: {error}.", path=path, reason=str(error)) from error
    decoder = any(key.startswith("decoder.") for key in tensors)
    if decoder and not variant.decoder_dim:
        raise LayoutError(f"{path} has a decoder; what is said of it ({variant.name}) has none.", path=path)
    size = preprocess.size if preprocess is not None else None
    with empty_weights():
        return build_mae(variant, facts=facts, decoder=decoder, img_size=size, init=False)


def _grid(
    path: Path,
    count: int,
    variant: Variant,
    preprocess: Preprocessing | None,
    *,
    square: bool,
    exact: bool,
) -> tuple[int, int] | None:
    """Return the grid of the positions, which the output must be able to tell: our header says it, or timm's config."""
    side = math.isqrt(count)
    h, w = [side // variant.patch_size for side in preprocess.size] if preprocess is not None else (side, side)
    if h * w == count:
        if h != w and square:
            size = f"{h * variant.patch_size}x{w * variant.patch_size}"
            raise LayoutError(
                f"{path} is for images of {size}; a file in this layout does not tell that they are not square. "
                f"Use --to maezoo, or for an encoder a folder with --to timm.",
                path=path,
                found=size,
            )
        return h, w
    if side * side != count:
        raise LayoutError(
            f"{path} has positions of {count} patches, which are no square; say the size of its images: "
            f'--preprocess {{"size": [H, W], …}}.',
            path=path,
            found=count,
        )
    if exact and preprocess is not None:
        raise LayoutError(
            f"{path} has positions of {side}x{side} patches, which are not those of images of {preprocess.size}; "
            f"transformers does not resize them when it loads them. Say the size that they are for with --preprocess.",
            path=path,
            expected=preprocess.size,
            found=(side * variant.patch_size, side * variant.patch_size),
        )
    return None


def require_floating(tensor: Tensor, what: str) -> None:
    """Refuse integers and complex numbers, such as those of quantised weights, which are nothing without their scales.

    Raises:
        LayoutError: the tensor holds them; the message names it.
    """
    if not tensor.is_floating_point():
        message = f"{what} has the dtype {tensor.dtype}; maezoo reads floating-point weights, not quantised ones."
        raise LayoutError(message, found=tensor.dtype)


def require_finite(tensor: Tensor, what: str) -> None:
    """Refuse NaN and infinity; reads every value once.

    Raises:
        IntegrityError: there is one; the message names the tensor.
    """
    if not tensor.is_floating_point():
        return
    if tensor.dtype.itemsize == 1:  # float8, which PyTorch does not add
        tensor = tensor.float()
    # One sum is faster than a test of each value, and as reliable: NaN and infinity survive it.
    if tensor.dtype == torch.float32:
        with np.errstate(all="ignore"):
            finite = bool(np.isfinite(tensor.detach().numpy().sum()))
    else:
        finite = bool(torch.isfinite(tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))))
    if not finite:
        raise IntegrityError(f"{what} holds NaN or infinity; the file is damaged, or its training diverged.")
