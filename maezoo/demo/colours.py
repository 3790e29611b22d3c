"""Maps of numbers as pictures."""

import torch
from PIL import Image
from torch import Tensor

from maezoo.errors import MissingExtraError

__all__ = ["colour_map"]

_ABSENT_GREY = 217


def colour_map(
    values: Tensor, colours: str, *, limits: tuple[float, float] | None = None, absent: Tensor | None = None
) -> Image.Image:
    """Colour an (h, w) map, one pixel for each patch.

    Args:
        values: (h, w) numbers.
        colours: name of a matplotlib colour map.
        limits: values of the darkest and the lightest colour; those of the cells that are shown when `None`.
        absent: (h, w) bool, True for cells with nothing to show: grey.

    Raises:
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> colour_map(torch.eye(3), "viridis").getpixel((0, 0))
        (253, 231, 36)
    """
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise MissingExtraError.for_extra("demo", "the demo page") from error
    values = values.detach().float().cpu()
    gone = torch.zeros_like(values, dtype=torch.bool) if absent is None else absent.cpu()
    shown = values[~gone]
    low, high = limits or ((float(shown.min()), float(shown.max())) if shown.numel() else (0.0, 1.0))
    scaled = ((values - low) / max(high - low, 1e-12)).clamp(0, 1)
    pixels = colormaps[colours](scaled.numpy(), bytes=True)[:, :, :3].copy()
    pixels[gone.numpy()] = _ABSENT_GREY
    return Image.fromarray(pixels)
