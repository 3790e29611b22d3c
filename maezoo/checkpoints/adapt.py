"""Tensors fitted to a model of another grid or another number of channels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maezoo.model import MaskedAutoencoder, resize_positions
from maezoo.model.positions import first_frame_positions

__all__ = ["Fit", "adapt_filters", "adapt_prediction"]


@dataclass(frozen=True)
class Fit:
    """Fits tensors to a model.

    Attributes:
        model: to be filled.
        old_grid: patch grid (h, w) of the file's positions, where that is known; else they are taken as square.
        of_videos: the file's positions have rows for every frame of a video; they are computed again for one.
    """

    model: MaskedAutoencoder
    old_grid: tuple[int, int] | None = None
    of_videos: bool = False

    def works(self, key: str, found: tuple[int, ...], wanted: torch.Size) -> bool:
        """Whether a tensor of a shape can be made what the model needs; no tensor is read."""
        if found == wanted and not key.endswith(".pos_embed"):
            return True
        return self.apply(key, torch.empty(found, device="meta"), wanted)[0].shape == wanted

    def apply(self, key: str, tensor: Tensor, shape: torch.Size) -> tuple[Tensor, str | None]:
        """Return a tensor as the model needs it, and what was done to it, if anything."""
        if key.endswith(".pos_embed"):
            return self._positions(tensor, shape)
        if tensor.shape == shape:
            return tensor, None
        if 0 in tensor.shape or tensor.ndim != len(shape) or tensor.shape[2:] != shape[2:]:
            return tensor, None
        if key == "encoder.patch_embed.proj.weight":
            return adapt_filters(tensor, shape[1]), f"channels {tensor.shape[1]} -> {shape[1]}"
        if key.startswith("decoder.pred.") and tensor.shape[0] % self.model.patch_size**2 == 0:
            channels = tensor.shape[0] // self.model.patch_size**2
            adapted = adapt_prediction(tensor, channels, self.model.in_chans)
            return adapted, f"channels {channels} -> {self.model.in_chans}"
        return tensor, None

    def _positions(self, tensor: Tensor, shape: torch.Size) -> tuple[Tensor, str | None]:
        """Resize positions to the model's grid."""
        prefix, new = self.model.num_prefix_tokens, self.model.grid_size
        if tensor.ndim != 3 or tensor.shape[0] != 1 or tensor.shape[1] <= prefix or tensor.shape[2] != shape[2]:
            return tensor, None
        made = self.of_videos and tensor.shape[2] % 16 == 0
        if made:
            tensor = first_frame_positions(self.old_grid or new, tensor.shape[2]).to(tensor.device)
        count = tensor.shape[1] - prefix
        side = math.isqrt(count)
        old = new if tensor.shape == shape else (side, side)
        if self.old_grid is not None and math.prod(self.old_grid) == count:
            old = self.old_grid
        if old == new or math.prod(old) != count:
            return tensor, "positions of one frame" if made else None
        change = f"positions {old[0]}x{old[1]} -> {new[0]}x{new[1]}"
        how = self.model.facts.resampling
        return resize_positions(tensor.float(), old, new, prefix=prefix, resampling=how), change


def adapt_prediction(tensor: Tensor, old: int, new: int) -> Tensor:
    """Change the channels of a prediction head: their mean for one channel, repeated in turn for more.

    Args:
        tensor: (P*P*old, …), weight or bias of the head, channels last inside a patch.
        old: channels it predicts.
        new: channels wanted.

    Returns:
        (P*P*new, …).

    Example:
        >>> adapt_prediction(torch.arange(6.0), 3, 1)
        tensor([1., 4.])
    """
    pixels = tensor.reshape(-1, old, *tensor.shape[1:])  # (P*P, old, …)
    if new == 1:
        adapted = pixels.float().mean(dim=1, keepdim=True).to(tensor.dtype)
    else:
        adapted = pixels[:, [channel % old for channel in range(new)]]
    return adapted.reshape(-1, *tensor.shape[1:])


def adapt_filters(tensor: Tensor, channels: int) -> Tensor:
    """Change the channels of patch-embedding filters, as timm does: summed for one, repeated in turn for more.

    Repeated filters are scaled so that an input of equal channels is embedded as before.

    Args:
        tensor: (D, C, P, P).
        channels: wanted.

    Returns:
        (D, channels, P, P).

    Example:
        >>> adapt_filters(torch.ones(1, 3, 1, 1), 6).flatten()
        tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000])
    """
    old = tensor.shape[1]
    if channels == 1:
        return tensor.float().sum(dim=1, keepdim=True)
    return tensor.float()[:, [channel % old for channel in range(channels)]] * (old / channels)
