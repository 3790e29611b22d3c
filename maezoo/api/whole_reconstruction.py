"""What reconstruct_all() gives, and its picture."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from maezoo.api.reconstruction import error_unit
from maezoo.api.strip import (
    INLINE_ROWS,
    encode_picture,
    inline_strip,
    labelled_strip,
    plain_strip,
    save_picture,
)
from maezoo.api.view import View

__all__ = ["WholeReconstruction"]


@dataclass(frozen=True, repr=False)
class WholeReconstruction:
    """Images of which every patch was predicted while it was hidden. A notebook shows them with their error maps.

    Attributes:
        original: (B, C, H, W) float32 in [0, 1], as the model saw it; of bands and sounds as in `Reconstruction`.
        pixels: (B, C, H, W) in [0, 1], the mean prediction of each patch over the masks that hid it.
        error: (B, N) float32, squared error of each patch in the target's space, mean over the masks that hid it: high
            where the surroundings do not predict the patch.
        spread: (B, N) float32, how much those predictions differ among themselves, their variance in the target's
            space; `error - spread` is the error of the mean prediction.
        grid_size: (h, w) in patches.
        mask_ratio: the share hidden by each mask.
        predictions: how often each patch was hidden and predicted.
        uses_input_statistics: as in `Reconstruction`: the colours of `pixels` are leaked from the input.
        view: how they are shown.
    """

    original: Tensor
    pixels: Tensor
    error: Tensor
    spread: Tensor
    grid_size: tuple[int, int]
    mask_ratio: float
    predictions: int
    uses_input_statistics: bool
    view: View = field(default_factory=View)

    def __len__(self) -> int:
        """Return the number of images B."""
        return len(self.original)

    @property
    def error_map(self) -> Tensor:
        """The error as a map, (B, h, w)."""
        return self.error.reshape(-1, *self.grid_size)

    @property
    def unit(self) -> str:
        """What `error` and `spread` are in: squares of `"normalised pixels"` or of `"patch-normalised pixels"`.

        The first are the model's input; the second, the target of normpix models, have each patch's own mean taken out.
        Where the input is no picture it is "band values" or "log-mel energies" instead of pixels.
        """
        return error_unit(self.uses_input_statistics, self.view.values)

    def __repr__(self) -> str:
        """Return shapes, ratio and error in one line."""
        shape, (h, w) = tuple(self.original.shape), self.grid_size
        error = f"mean error {self.error.mean().item():.3g} ({self.unit})" if len(self) else "no image"
        times = f"{100 * self.mask_ratio:.3g} % hidden at a time, {self.predictions} predictions of each patch"
        return f"WholeReconstruction(images {shape}, grid {h}x{w}, {times}, {error})"

    def to_pil(self, *, scale: int = 1, labels: bool = False) -> Image.Image:
        """Return the strip original | all predicted | error, one row for each image; one colour scale for all errors.

        Spectrograms and lines of text stand below each other.

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
        each = len(self._names()) if self.view.stacked else 1
        rows = self._rows(min(len(self), INLINE_ROWS // each))
        return encode_picture(inline_strip(rows, self._titles(), self._notes(), each))

    def _highest(self) -> float:
        """Return the error of the lightest colour; a few outliers would leave all else black."""
        return float(np.quantile(self.error.cpu().numpy(), 0.985)) if self.error.numel() else 1.0

    def _rows(self, count: int) -> list[list[Image.Image]]:
        """Return the pictures of the first images."""
        size, highest = (self.original.shape[-2], self.original.shape[-1]), self._highest()
        rows = [
            [
                *self.view.panels(self.original[i], (self.pixels[i],)),
                self.view.error_panel(self.error_map[i], size, highest),
            ]
            for i in range(count)
        ]
        return self.view.rows(rows)

    def _names(self) -> tuple[str, ...]:
        """Return what each panel of an image shows."""
        return "original", "all predicted", f"error, 0 to {self._highest():.2g}"

    def _titles(self) -> tuple[str, ...]:
        """Return what is written over the columns."""
        return self.view.titles(self._names())

    def _notes(self) -> list[str]:
        """Return what is written under each row."""
        times = "once" if self.predictions == 1 else f"{self.predictions} times"
        said = f"each patch predicted {times}, {100 * self.mask_ratio:.3g} % hidden, mean error"
        notes = [f"{said} {error:.3g} ({self.unit}){self.view.note}" for error in self.error.mean(dim=1).tolist()]
        return self.view.notes(self._names(), notes)
