"""What reconstruct() gives, and its picture."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from maezoo.files import written_whole

__all__ = ["Reconstruction"]

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
        """Write the strip as a picture, whole or not at all; the suffix decides the format.

        Returns:
            The path.

        Raises:
            ValueError: a suffix that Pillow knows no format for.
        """
        path = Path(path)
        with written_whole(path) as temporary:
            self.to_pil().save(temporary)
        return path

    def _repr_png_(self) -> bytes:
        """Show the strip in notebooks."""
        buffer = BytesIO()
        self.to_pil().save(buffer, "PNG")
        return buffer.getvalue()


def _to_array(image: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Turn (C, H, W) in [0, 1] to (H, W, 3) uint8; one channel is shown grey, more than three by their first three."""
    shown = image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)
    return shown.mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _join(
    parts: "list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]", axis: int
) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Join pictures along an axis with white gaps."""
    if not parts:
        return np.full((1, 1, 3), 255, np.uint8)
    shape = list(parts[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, np.uint8)
    spaced = [piece for part in parts for piece in (part, gap)][:-1]
    return np.concatenate(spaced, axis=axis)
