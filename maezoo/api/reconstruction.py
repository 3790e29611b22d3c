"""What reconstruct() gives, and its picture."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from maezoo.files import picture_format, written_whole
from maezoo.images.batches import denormalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import MaskedAutoencoder, PatchedImages, denormalise_patches, patch_statistics, unpatchify
from maezoo.paths import user_path

__all__ = ["Reconstruction", "reconstruct_batch"]

_GREY = 0.5  # how hidden patches are shown
_GAP = 4  # white pixels between the pictures of a strip


@dataclass(frozen=True)
class Reconstruction:
    """The reconstruction of one or more images.

    Attributes:
        original: (B, C, H, W) float32 in [0, 1], as the model saw it.
        masked: the same with hidden patches grey.
        predicted: the decoder's output for every patch, (B, C, H, W) in [0, 1].
        pixels: the prediction with the visible patches pasted over it, (B, C, H, W) in [0, 1].
        mask: (B, N) bool, True = hidden.
        error: (B, N) float32, squared error of each patch in the target's space.
        loss: (B,) float32, mean of `error` over hidden patches; 0 where none is hidden.
        uses_input_statistics: the model predicts normalised patches, and each was put back with the mean and standard
            deviation of the true patch: the colours of hidden patches are leaked from the input, not predicted.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> reconstruction = model.reconstruct(torch.zeros(1, 3, 96, 96))
        >>> reconstruction.to_pil().size
        (296, 96)
    """

    original: Tensor
    masked: Tensor
    predicted: Tensor
    pixels: Tensor
    mask: Tensor
    error: Tensor
    loss: Tensor
    uses_input_statistics: bool

    @classmethod
    def join(cls, parts: "Sequence[Reconstruction]") -> "Reconstruction":
        """Join the reconstructions of one or more batches of one model, in order."""
        tensors = {
            field.name: torch.cat([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name != "uses_input_statistics"
        }
        return cls(**tensors, uses_input_statistics=parts[0].uses_input_statistics)

    def __len__(self) -> int:
        """Return the number of images B."""
        return len(self.original)

    def to_pil(self) -> Image.Image:
        """Return the strip original | masked | reconstruction, one row for each image."""
        rows = [
            _join([_to_array(part[index]) for part in (self.original, self.masked, self.pixels)], axis=1)
            for index in range(len(self))
        ]
        return Image.fromarray(_join(rows, axis=0))

    def save(self, path: str | Path) -> Path:
        """Write the strip as a picture; the suffix decides the format. A failed write leaves no file.

        Args:
            path: of the picture; its folder is made when missing. A pipe without a suffix gets PNG.

        Returns:
            The path.

        Raises:
            ValueError: a suffix that Pillow writes no format for.
            DiskFullError: no room for it.
        """
        path = user_path(path)
        picture = self._encoded(picture_format(path))
        with written_whole(path) as temporary:
            temporary.write_bytes(picture)
        return path

    def _repr_png_(self) -> bytes:
        """Show the strip in notebooks."""
        return self._encoded("PNG")

    def _encoded(self, format: str) -> bytes:
        """Return the strip as a file's bytes."""
        buffer = BytesIO()
        self.to_pil().save(buffer, format)
        return buffer.getvalue()


def reconstruct_batch(
    model: MaskedAutoencoder, batch: PatchedImages, mask: Tensor, preprocess: Preprocessing
) -> Reconstruction:
    """Reconstruct one batch.

    Args:
        model: with a decoder.
        batch: B images, normalised as `preprocess` says, on the model's device.
        mask: (B, N) bool, True = hidden, checked.
        preprocess: what turns the output back to pixels.
    """
    P, grid = model.patch_size, batch.grid_size
    prediction = model.predict_rows(batch, mask).float()  # (B, N, P*P*C)
    error = model.patch_error(batch, prediction)
    truth = batch.patches.float()
    if model.target == "normpix":
        prediction = denormalise_patches(prediction, patch_statistics(truth))
    mask = mask.to(batch.images.device)
    pasted = torch.where(mask[:, :, None], prediction, truth)
    hidden = unpatchify(mask[:, :, None].expand_as(truth), P, grid)  # (B, C, H, W)
    original = denormalise(batch.images, preprocess)
    return Reconstruction(
        original=original,
        masked=original.masked_fill(hidden, _GREY),
        predicted=denormalise(unpatchify(prediction, P, grid), preprocess),
        pixels=denormalise(unpatchify(pasted, P, grid), preprocess),
        mask=mask,
        error=error,
        loss=(error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1),
        uses_input_statistics=model.target == "normpix",
    )


def _to_array(image: Tensor) -> NDArray[np.uint8]:
    """Turn (C, H, W) in [0, 1] to (H, W, 3) uint8; one channel is shown grey, more than three by their first three."""
    shown = image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)
    return shown.mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _join(parts: list[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """Join pictures along an axis with white gaps."""
    if not parts:
        return np.full((1, 1, 3), 255, np.uint8)
    shape = list(parts[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, np.uint8)
    spaced = [piece for part in parts for piece in (part, gap)][:-1]
    return np.concatenate(spaced, axis=axis)
