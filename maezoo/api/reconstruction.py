"""What reconstruct() gives, and its picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from maezoo.api.strip import INLINE_ROWS, encode_picture, inline_strip, labelled_strip, plain_strip, save_picture
from maezoo.api.view import View
from maezoo.images.batches import denormalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import MaskedAutoencoder, PatchedImages, denormalise_patches, patch_statistics, unpatchify

__all__ = ["Reconstruction", "error_unit", "reconstruct_batch", "shares_text"]

_GREY = 0.5  # how hidden patches are shown
_TITLES = ("original", "masked", "reconstruction")


@dataclass(frozen=True, repr=False)
class Reconstruction:
    """The reconstruction of one or more images. A notebook shows its strip, enlarged and labelled.

    Attributes:
        original: (B, C, H, W) float32 in [0, 1], as the model saw it; bands that are not clipped may lie outside, and
            of sounds these are natural log-mel energies.
        masked: the same with hidden patches grey.
        predicted: the decoder's output for every patch, (B, C, H, W) in [0, 1].
        pixels: the prediction with the visible patches pasted over it, (B, C, H, W) in [0, 1].
        mask: (B, N) bool, True = hidden.
        error: (B, N) float32, squared error of each patch in the target's space.
        loss: (B,) float32, mean of `error` over hidden patches; 0 where none is hidden.
        uses_input_statistics: the model predicts normalised patches, and each was put back with the mean and standard
            deviation of the true patch: the colours of hidden patches are leaked from the input, not predicted.
        view: how they are shown.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> reconstruction = model.reconstruct(torch.zeros(1, 3, 96, 96))
        >>> reconstruction.to_pil().size
        (296, 96)
        >>> repr(reconstruction).partition(", loss")[0]
        'Reconstruction(images (1, 3, 96, 96), mask (1, 144), 75 % hidden'
    """

    original: Tensor
    masked: Tensor
    predicted: Tensor
    pixels: Tensor
    mask: Tensor
    error: Tensor
    loss: Tensor
    uses_input_statistics: bool
    view: View = field(default_factory=View)

    @classmethod
    def join(cls, parts: "Sequence[Reconstruction]") -> "Reconstruction":
        """Join the reconstructions of one or more batches of one model, in order."""
        tensors = {
            field.name: torch.cat([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name not in ("uses_input_statistics", "view")
        }
        return cls(**tensors, uses_input_statistics=parts[0].uses_input_statistics, view=parts[0].view)

    def __len__(self) -> int:
        """Return the number of images B."""
        return len(self.original)

    def __repr__(self) -> str:
        """Return shapes, share hidden and loss in one line."""
        images, patches = tuple(self.original.shape), tuple(self.mask.shape)
        if not len(self):
            return f"Reconstruction(images {images}, mask {patches})"
        loss = f"{'mean ' if len(self) > 1 else ''}loss {self.loss.float().mean().item():.3g}"
        return f"Reconstruction(images {images}, mask {patches}, {shares_text(self.mask)} hidden, {loss} ({self.unit}))"

    @property
    def unit(self) -> str:
        """What `error` and `loss` are in: squares of `"normalised pixels"` or of `"patch-normalised pixels"`.

        The first are the model's input; the second, the target of normpix models, have each patch's own mean taken out.
        Where the input is no picture it is "band values" or "log-mel energies" instead of pixels.
        """
        return error_unit(self.uses_input_statistics, self.view.values)

    def to_pil(self, *, scale: int = 1, labels: bool = False) -> Image.Image:
        """Return the strip original | masked | reconstruction, one row for each image; wide ones below each other.

        Args:
            scale: how often each pixel is repeated in both directions, 1 to 64.
            labels: write titles over the columns, and share hidden and error under each row.

        Raises:
            ArgumentError: an impossible scale.
        """
        rows = self._rows(len(self))
        return labelled_strip(rows, self._titles(), self._notes(), scale) if labels else plain_strip(rows, scale)

    def save(self, path: str | Path, *, scale: int = 1, labels: bool = False) -> Path:
        """Write the strip as a picture; the suffix decides the format. A failed write leaves no file.

        Args:
            path: of the picture; its folder is made when missing. A pipe without a suffix gets PNG.
            scale: as in `to_pil`.
            labels: as in `to_pil`.

        Returns:
            The path.

        Raises:
            ArgumentError: a suffix that Pillow writes no format for, or an impossible scale.
            DiskFullError: no room for it.

        Example:
            >>> import maezoo, tempfile
            >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
            >>> target = Path(tempfile.mkdtemp()) / "strip.png"
            >>> model.reconstruct(torch.zeros(1, 3, 96, 96)).save(target, scale=3, labels=True).name
            'strip.png'
        """
        return save_picture(self.to_pil(scale=scale, labels=labels), path)

    def _repr_png_(self) -> bytes:
        """Show the strip in notebooks."""
        each = len(_TITLES) if self.view.stacked else 1
        rows = self._rows(min(len(self), INLINE_ROWS // each))
        return encode_picture(inline_strip(rows, self._titles(), self._notes(), each))

    def _rows(self, count: int) -> list[list[Image.Image]]:
        """Return the pictures of the first images."""
        return self.view.rows([self._panels(i) for i in range(count)])

    def _panels(self, i: int) -> list[Image.Image]:
        """Draw one image: as it is, masked, and reconstructed."""
        H, W = self.original.shape[-2:]
        P = round((H * W / self.mask.shape[1]) ** 0.5)
        hidden = self.mask[i].reshape(H // P, W // P).repeat_interleave(P, 0).repeat_interleave(P, 1)  # (H, W)
        return self.view.panels(self.original[i], (self.masked[i], self.pixels[i]), hidden)

    def _titles(self) -> tuple[str, ...]:
        """Return what is written over the columns."""
        return self.view.titles(_TITLES)

    def _notes(self) -> list[str]:
        """Return what is written under each row."""
        leak = "; mean and contrast of hidden patches are the input's" if self.uses_input_statistics else ""
        notes = [
            f"{shares_text(row)} hidden, error {loss:.3g} ({self.unit}){leak}{self.view.note}"
            for row, loss in zip(self.mask, self.loss.tolist(), strict=True)
        ]
        return self.view.notes(_TITLES, notes)


def error_unit(normalised_patches: bool, values: str = "pixels") -> str:
    """Name what an error is measured in: the target's space.

    Args:
        normalised_patches: the target is normalised per patch.
        values: what the numbers of the input are called.

    Example:
        >>> error_unit(False), error_unit(True, "log-mel energies")
        ('normalised pixels', 'patch-normalised log-mel energies')
    """
    return f"{'patch-' if normalised_patches else ''}normalised {values}"


def shares_text(mask: Tensor) -> str:
    """Word how much of (B, N) or (N,) masks is hidden.

    Example:
        >>> shares_text(torch.tensor([[True, False], [True, True]]))
        '50 to 100 %'
    """
    shares = mask.float().mean(dim=-1).mul(100).reshape(-1)
    low, high = (f"{share:.3g}" for share in (shares.min().item(), shares.max().item()))
    return f"{low} %" if low == high else f"{low} to {high} %"


def reconstruct_batch(
    model: MaskedAutoencoder, batch: PatchedImages, mask: Tensor, preprocess: Preprocessing, view: View | None = None
) -> Reconstruction:
    """Reconstruct one batch.

    Args:
        model: with a decoder.
        batch: B images, normalised as `preprocess` says, on the model's device.
        mask: (B, N) bool, True = hidden, checked.
        preprocess: what turns the output back to pixels.
        view: how the result is shown.
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
        masked=original.masked_fill(hidden, preprocess.mean[0] if preprocess.kind == "sound" else _GREY),
        predicted=denormalise(unpatchify(prediction, P, grid), preprocess),
        pixels=denormalise(unpatchify(pasted, P, grid), preprocess),
        mask=mask,
        error=error,
        loss=(error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1),
        uses_input_statistics=model.target == "normpix",
        view=View() if view is None else view,
    )
