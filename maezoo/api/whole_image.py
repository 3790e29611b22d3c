"""Every patch reconstructed from its surroundings: groups of masks that together hide the whole image."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from maezoo.api.image_methods import ImageMethods, check_one_shape
from maezoo.api.view import view_of
from maezoo.api.whole_reconstruction import WholeReconstruction
from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError, MaskError
from maezoo.images.batches import ImageLikes, denormalise, look_at
from maezoo.masks.draw import as_ratio, as_seed, generator_for
from maezoo.model import PatchedImages, denormalise_patches, patch_statistics, unpatchify
from maezoo.progress import track

__all__ = ["WholeReconstruction", "complementary_masks", "reconstruct_all"]

_MOST_ROUNDS = 10_000
_LARGEST_GROUP = 20  # masks; every multiple of 5 % is a fraction with at most this denominator


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
    bands: Sequence[str | int] | None = None,
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
        bands: one or three bands to show, as in `MAE.reconstruct`.
        batch_size: images at a time.
        progress: show a bar.

    Returns:
        The mean prediction and its per-patch error, on the model's device.

    Raises:
        DecoderMissingError: the model has no decoder.
        ImageError, SizeError: as in `MAE.encode`.
        MaskError: an impossible ratio.
        ArgumentError: `rounds` is not positive, or bands that these weights do not have.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> whole = reconstruct_all(model, torch.zeros(1, 3, 96, 96), ratio=0.5, rounds=2)
        >>> whole.error_map.shape, whole.predictions
        (torch.Size([1, 12, 12]), 2)
    """
    if not isinstance(model, ImageMethods):
        raise ArgumentError(f"model is what maezoo.create() returns; got {model!r}.", found=model)
    model.require_decoder()
    rounds = whole_number(rounds, "rounds", 1, _MOST_ROUNDS, what="the number of groups of masks")
    share, view = _as_fraction(ratio), view_of(model.preprocess, bands)
    parts = []
    given = look_at(images)
    with torch.no_grad(), track(given.total, "images", show=progress) as advance:
        for batch in model.input_batches(given, batch_size):
            masks = torch.cat(
                [complementary_masks(batch.grid_size, ratio, seed=as_seed(seed) + extra) for extra in range(rounds)]
            )
            parts.append(_reconstruct_batch(model, batch, masks, float(share)))
            advance(len(batch.images))
    check_one_shape([part.original for part in parts])
    joined: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS}
    return replace(parts[0], **joined, view=view)


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
