"""Every patch reconstructed from its surroundings: groups of masks that together hide the whole image."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from maezoo.api.image_methods import ImageMethods
from maezoo.api.reconstruction import error_unit
from maezoo.api.strip import (
    INLINE_ROWS,
    encode_picture,
    error_picture,
    inline_strip,
    labelled_strip,
    plain_strip,
    save_picture,
    shown,
)
from maezoo.errors import ArgumentError, MaskError
from maezoo.images.batches import ImageLikes, denormalise, look_at
from maezoo.masks.draw import as_ratio, as_seed, generator_for
from maezoo.model import PatchedImages, denormalise_patches, patch_statistics, unpatchify
from maezoo.progress import track

__all__ = ["WholeReconstruction", "complementary_masks", "reconstruct_all"]

_LARGEST_GROUP = 20  # masks; every multiple of 5 % is a fraction with at most this denominator


@dataclass(frozen=True, repr=False)
class WholeReconstruction:
    """Images of which every patch was predicted while it was hidden. A notebook shows them with their error maps.

    Attributes:
        original: (B, C, H, W) float32 in [0, 1], as the model saw it.
        pixels: (B, C, H, W) in [0, 1], the mean prediction of each patch over the masks that hid it.
        error: (B, N) float32, squared error of each patch in the target's space, mean over the masks that hid it: high
            where the surroundings do not predict the patch.
        spread: (B, N) float32, how much those predictions differ among themselves, their variance in the target's
            space; `error - spread` is the error of the mean prediction.
        grid_size: (h, w) in patches.
        mask_ratio: the share hidden by each mask.
        predictions: how often each patch was hidden and predicted.
        uses_input_statistics: as in `Reconstruction`: the colours of `pixels` are leaked from the input.
    """

    original: Tensor
    pixels: Tensor
    error: Tensor
    spread: Tensor
    grid_size: tuple[int, int]
    mask_ratio: float
    predictions: int
    uses_input_statistics: bool

    def __len__(self) -> int:
        """Return the number of images B."""
        return len(self.original)

    @property
    def error_map(self) -> Tensor:
        """The error as a map, (B, h, w)."""
        return self.error.reshape(-1, *self.grid_size)

    @property
    def unit(self) -> str:
        """What `error` and `spread` are measured in: squared differences of `"normalised pixels"` or patches."""
        return error_unit(self.uses_input_statistics)

    def __repr__(self) -> str:
        """Return shapes, ratio and error in one line."""
        shape, (h, w) = tuple(self.original.shape), self.grid_size
        error = f"mean error {self.error.mean().item():.3g} ({self.unit})" if len(self) else "no image"
        times = f"{100 * self.mask_ratio:.3g} % hidden at a time, {self.predictions} predictions of each patch"
        return f"WholeReconstruction(images {shape}, grid {h}x{w}, {times}, {error})"

    def to_pil(self, *, scale: int = 1, labels: bool = False) -> Image.Image:
        """Return the strip original | all predicted | error, one row for each image; one colour scale for all errors.

        Args:
            scale: how often each pixel is repeated in both directions, 1 to 64.
            labels: write titles over the columns and the mean error under each row.

        Raises:
            ArgumentError: an impossible scale.
        """
        if not labels:
            return plain_strip(self._rows(len(self)), scale)
        return labelled_strip(self._rows(len(self)), self._titles(), self._notes(), scale)

    def save(self, path: str | Path, *, scale: int = 1, labels: bool = False) -> Path:
        """Write the strip as a picture; the suffix decides the format. A failed write leaves no file.

        Args:
            path: of the picture; its folder is made when missing.
            scale: as in `to_pil`.
            labels: as in `to_pil`.

        Returns:
            The path.

        Raises:
            ArgumentError: a suffix that Pillow writes no format for, or an impossible scale.
            DiskFullError: no room for it.
        """
        return save_picture(self.to_pil(scale=scale, labels=labels), path)

    def _repr_png_(self) -> bytes:
        """Show the strip in notebooks."""
        return encode_picture(inline_strip(self._rows(min(len(self), INLINE_ROWS)), self._titles(), self._notes()))

    def _highest(self) -> float:
        """Return the error of the lightest colour; a few outliers would leave all else black."""
        return float(np.quantile(self.error.cpu().numpy(), 0.985)) if self.error.numel() else 1.0

    def _rows(self, count: int) -> list[list[Image.Image]]:
        """Return the pictures of the first images."""
        size, highest = (self.original.shape[-2], self.original.shape[-1]), self._highest()
        return [
            [shown(self.original[i]), shown(self.pixels[i]), error_picture(self.error_map[i], size, highest)]
            for i in range(count)
        ]

    def _titles(self) -> tuple[str, str, str]:
        """Return what is written over the columns."""
        return "original", "all predicted", f"error, 0 to {self._highest():.2g}"

    def _notes(self) -> list[str]:
        """Return what is written under each row."""
        times = "once" if self.predictions == 1 else f"{self.predictions} times"
        return [
            f"each patch predicted {times}, {100 * self.mask_ratio:.3g} % hidden, mean error {error:.3g} ({self.unit})"
            for error in self.error.mean(dim=1).tolist()
        ]


def complementary_masks(grid_size: tuple[int, int], ratio: float = 0.75, *, seed: int = 0) -> Tensor:
    """Draw a group of masks that together hide every patch equally often.

    A ratio of 1/2, 1/4, 1/5 … hides each patch exactly once in the group. A ratio of k/G hides it exactly k times in G
    masks: three times in four masks at 75 %, the share that the models were trained with.

    Args:
        grid_size: (h, w) in patches.
        ratio: share that each mask hides, 0.05 to 0.95; taken as the nearest fraction of at most 20 masks.
        seed: of the draw; the same masks on every device.

    Returns:
        (G, N) bool on the CPU, True = hidden; its columns all have the same sum.

    Raises:
        MaskError: a ratio outside those bounds, or fewer patches than the group has masks.

    Example:
        >>> complementary_masks((4, 4), 0.25).sum(dim=0).unique()
        tensor([1])
        >>> complementary_masks((4, 4), 0.75).shape
        torch.Size([4, 16])
    """
    share = _as_fraction(ratio)
    masks, patches = share.denominator, grid_size[0] * grid_size[1]
    if patches < masks:
        raise MaskError(
            f"a ratio of {ratio} needs a group of {masks} masks, but a grid of {grid_size[0]}x{grid_size[1]} has only "
            f"{patches} patches; choose a simpler share, such as 0.5 or 0.75, or larger images."
        )
    made_as: Any = {"dtype": torch.int64, "device": "cpu"}
    order = torch.randperm(patches, generator=generator_for(seed), **made_as)
    slots = torch.empty(patches, **made_as)
    slots[order] = (
        torch.arange(patches, **made_as) % masks
    )  # G slots of equal size; mask g hides the slots g to g + k - 1
    distance = (slots[None] - torch.arange(masks, **made_as)[:, None]) % masks  # (G, N)
    return distance < share.numerator


def reconstruct_all(
    model: ImageMethods,
    images: ImageLikes,
    ratio: float = 0.75,
    rounds: int = 1,
    seed: int = 0,
    *,
    batch_size: int = 32,
    progress: bool = False,
) -> WholeReconstruction:
    """Reconstruct every patch of images from the others: each is hidden, predicted, and compared with the original.

    Args:
        model: a model with a decoder.
        images: as in `MAE.encode`.
        ratio: share that each mask hides, 0.05 to 0.95; see `complementary_masks`.
        rounds: groups of masks, each drawn anew; more rounds are slower and less noisy.
        seed: of the first group; one seed gives one result whatever the batch.
        batch_size: images at a time.
        progress: show a bar.

    Returns:
        The mean prediction and its per-patch error, on the model's device.

    Raises:
        DecoderMissingError: the model has no decoder.
        ImageError, SizeError: as in `MAE.encode`.
        MaskError: an impossible ratio.
        ArgumentError: `rounds` is not positive.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> whole = reconstruct_all(model, torch.zeros(1, 3, 96, 96), ratio=0.5, rounds=2)
        >>> whole.error_map.shape, whole.predictions
        (torch.Size([1, 12, 12]), 2)
    """
    model.require_decoder()
    if rounds < 1:
        raise ArgumentError(f"rounds is the number of groups of masks, at least 1; got {rounds}.")
    share = _as_fraction(ratio)
    parts = []
    given = look_at(images)
    with torch.no_grad(), track(given.total, "images", show=progress) as advance:
        for batch in model.input_batches(given, batch_size):
            masks = torch.cat(
                [complementary_masks(batch.grid_size, ratio, seed=as_seed(seed) + extra) for extra in range(rounds)]
            )
            parts.append(_reconstruct_batch(model, batch, masks, float(share)))
            advance(len(batch.images))
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS}
    return WholeReconstruction(
        **joined,
        grid_size=parts[0].grid_size,
        mask_ratio=float(share),
        predictions=parts[0].predictions,
        uses_input_statistics=parts[0].uses_input_statistics,
    )


_TENSORS = ("original", "pixels", "error", "spread")


def _reconstruct_batch(model: ImageMethods, batch: PatchedImages, masks: Tensor, ratio: float) -> WholeReconstruction:
    """Reconstruct normalised images under every one of (M, N) masks."""
    P, grid, device = model.patch_size, batch.grid_size, batch.images.device
    truth = batch.patches.float()  # (B, N, P*P*C)
    error = torch.zeros(truth.shape[:2], dtype=torch.float32, device=device)
    total, squares = torch.zeros_like(truth), torch.zeros_like(error)
    times = int(masks[:, 0].sum())
    for mask in masks:
        prediction = model.predict_rows(batch, mask.expand(len(truth), -1)).float()
        hidden = mask.to(device)[None]  # (1, N)
        error += model.patch_error(batch, prediction) * hidden
        total += prediction * hidden[:, :, None]
        squares += prediction.square().mean(dim=-1) * hidden
    mean = total / times
    pixels = denormalise_patches(mean, patch_statistics(truth)) if model.target == "normpix" else mean
    return WholeReconstruction(
        original=denormalise(batch.images, model.preprocess),
        pixels=denormalise(unpatchify(pixels, P, grid), model.preprocess),
        error=error / times,
        spread=(squares / times - mean.square().mean(dim=-1)).clamp(min=0),
        grid_size=grid,
        mask_ratio=ratio,
        predictions=times,
        uses_input_statistics=model.target == "normpix",
    )


def _as_fraction(ratio: float) -> Fraction:
    """Return a ratio as hidden masks over masks in the group."""
    share = as_ratio(ratio, "ratio is the share that each mask hides, between 0.05 and 0.95", 0.05, 0.95)
    return Fraction(share).limit_denominator(_LARGEST_GROUP)
