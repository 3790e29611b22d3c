"""The mask-ratio sweep: how the error grows with the share that is hidden. `plot_sweep` draws it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maezoo.api.reconstruction import Reconstruction, error_unit
from maezoo.api.view import View
from maezoo.arguments import listed, whole_number
from maezoo.errors import ArgumentError, MissingExtraError
from maezoo.files import written_whole
from maezoo.images.batches import ImageLikes
from maezoo.masks.draw import as_seed
from maezoo.paths import user_path
from maezoo.progress import track
from maezoo.vocabulary import Strategy

if TYPE_CHECKING:
    from maezoo.api.image_methods import ImageMethods

__all__ = ["PAPERS", "RATIOS", "MaskRatioSweep", "measure_sweep"]

RATIOS = (0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.75, 0.80, 0.90, 0.95)
PAPERS: tuple[Strategy, ...] = ("random", "block", "grid")  # table 1f

_MOST_SEEDS = 10_000


@dataclass(frozen=True, repr=False)
class MaskRatioSweep:
    """Errors of a model over mask ratios and strategies, and one image's pictures. A notebook shows the plot.

    Attributes:
        ratios: R shares of hidden patches.
        strategies: S ways to choose them.
        seeds: K seeds of the masks; the grid has one mask, whatever the seed.
        losses: (S, R, K, B) float32, the loss of each image under each mask, in the target's space; NaN for the grid's
            second and later seeds.
        names: B texts, the path of each image where it has one.
        original: (C, H, W) in [0, 1], the first image; of bands and sounds as in `Reconstruction`.
        masked: (S, R, C, H, W), its masked pictures under the first seed.
        pixels: (S, R, C, H, W), its reconstructions with the visible patches pasted.
        model: the model's name.
        uses_input_statistics: as in `Reconstruction`.
        view: how pictures are shown.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> sweep = measure_sweep(model, torch.zeros(2, 3, 96, 96), ratios=(0.5, 0.75), strategies=("random",), seeds=3)
        >>> sweep.error.shape, sweep.losses.shape, len(sweep.to_rows())
        (torch.Size([1, 2]), torch.Size([1, 2, 3, 2]), 12)
    """

    ratios: tuple[float, ...]
    strategies: tuple[Strategy, ...]
    seeds: tuple[int, ...]
    losses: Tensor
    names: tuple[str, ...]
    original: Tensor
    masked: Tensor
    pixels: Tensor
    model: str
    uses_input_statistics: bool
    view: View = field(default_factory=View)

    @property
    def error(self) -> Tensor:
        """The mean loss over images and seeds, (S, R) float32."""
        return self.losses.flatten(2).nanmean(dim=2)

    @property
    def deviation(self) -> Tensor:
        """The standard deviation of single losses over images and seeds together, (S, R) float32.

        It says how much images and masks differ, not how certain the mean is. For that, divide by the root of their
        number; for the part that is the masks' alone, average `losses` over the images first.
        """
        return (self.losses.flatten(2) - self.error[:, :, None]).square().nanmean(dim=2).sqrt()

    @property
    def images(self) -> int:
        """How many images were measured."""
        return self.losses.shape[3]

    @property
    def unit(self) -> str:
        """What the errors are in, as `Reconstruction.unit`: squares of `"normalised pixels"`, for example."""
        return error_unit(self.uses_input_statistics, self.view.values)

    def __repr__(self) -> str:
        """Return what was measured in one line."""
        low, high = (f"{100 * ratio:.3g}" for ratio in (min(self.ratios), max(self.ratios)))
        measured = f"{self.images} images, {len(self.ratios)} ratios from {low} to {high} %, {len(self.seeds)} seeds"
        errors = f"mean errors {self.error.min().item():.3g} to {self.error.max().item():.3g} ({self.unit})"
        return f"MaskRatioSweep({self.model}, {', '.join(self.strategies)}, {measured}, {errors})"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return every single measurement: model, strategy, ratio, seed, image (its number), name, error.

        Rows of this kind are what `pandas.DataFrame` takes.
        """
        return [
            {
                "model": self.model,
                "strategy": strategy,
                "ratio": ratio,
                "seed": seed,
                "image": image,
                "name": self.names[image],
                "error": self.losses[s, r, k, image].item(),
            }
            for s, strategy in enumerate(self.strategies)
            for r, ratio in enumerate(self.ratios)
            for k, seed in enumerate(_seeds_of(strategy, self.seeds))
            for image in range(self.images)
        ]

    def save_csv(self, path: str | Path) -> Path:
        """Write the rows of `to_rows` as CSV, with a header. A failed write leaves no file.

        Raises:
            DiskFullError: no room for it.
        """
        return write_rows([self], path)

    def _repr_png_(self) -> bytes | None:
        """Show the plot in notebooks, where matplotlib is installed."""
        from maezoo import figures  # whose names are loaded at their first use: the plot knows this class
        from maezoo.figures.canvas import encode_figure

        try:
            return encode_figure(figures.plot_sweep(self), ".png")
        except MissingExtraError:
            return None


def measure_sweep(
    model: "ImageMethods",
    images: ImageLikes,
    *,
    ratios: Sequence[float] = RATIOS,
    strategies: Sequence[Strategy] = PAPERS,
    seeds: int = 3,
    seed: int = 0,
    batch_size: int = 32,
    progress: bool = False,
) -> MaskRatioSweep:
    """Measure the reconstruction error over mask ratios.

    Args:
        model: a model with a decoder.
        images: as in `MAE.encode`; the first one is pictured.
        ratios: shares of patches to hide, in (0, 1].
        strategies: `"random"`, `"block"`, `"grid"`, `"cells"`.
        seeds: how many masks are drawn for each image; the grid is always the same.
        seed: of the first draw; the others follow it. Each draw is `MAE.reconstruct`'s with the same images and seed.
        batch_size: images at a time.
        progress: show a bar.

    Raises:
        DecoderMissingError: the model has no decoder.
        ImageError, MaskError: an image that cannot be read, or an impossible ratio, strategy or seed.
        ArgumentError: no image, ratio, strategy or seed; or one ratio or strategy that is not in a list.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> measure_sweep(model, torch.zeros(1, 3, 96, 96), ratios=(0.5, 0.75), seeds=1).error.shape
        torch.Size([3, 2])
    """
    model.require_decoder()
    for what, given, example in (("ratios", ratios, "(0.5, 0.75)"), ("strategies", strategies, '("random",)')):
        if isinstance(given, str) or not hasattr(given, "__len__"):
            raise ArgumentError(f"{what} is a list, such as {example}; got {given!r}.", found=given)
    inputs = model.prepare(images)
    if not len(inputs):
        raise ArgumentError("a sweep needs at least one image.")
    ratios = listed(ratios, "ratios", "shares to hide, such as [0.5, 0.75]")
    strategies = listed(strategies, "strategies", "words such as ['random', 'block']")
    seeds = whole_number(seeds, "seeds", 1, _MOST_SEEDS, what="the number of masks for each image and ratio")
    draws = range(as_seed(seed), as_seed(seed) + seeds)
    losses = torch.full((len(strategies), len(ratios), seeds, len(inputs)), float("nan"), device="cpu")
    first: list[Reconstruction] = []
    with track(len(ratios) * len(strategies), "masks", show=progress) as advance:
        for s, strategy in enumerate(strategies):
            for r, ratio in enumerate(ratios):
                for k, draw in enumerate(_seeds_of(strategy, draws)):
                    run = model.reconstruct(
                        inputs, mask_ratio=ratio, strategy=strategy, seed=draw, batch_size=batch_size
                    )
                    losses[s, r, k] = run.loss.float().cpu()
                    first += [] if k else [run]
                advance(1)
    shape = (len(strategies), len(ratios), *inputs.shape[1:])
    return MaskRatioSweep(
        ratios=tuple(ratios),
        strategies=tuple(strategies),
        seeds=tuple(draws),
        losses=losses,
        names=_names_of(images, len(inputs)),
        original=first[0].original[0].cpu(),
        masked=torch.stack([run.masked[0].cpu() for run in first]).reshape(shape),
        pixels=torch.stack([run.pixels[0].cpu() for run in first]).reshape(shape),
        model=model.name,
        uses_input_statistics=first[0].uses_input_statistics,
        view=first[0].view,
    )


def write_rows(sweeps: Sequence[MaskRatioSweep], path: str | Path) -> Path:
    """Write the rows of several sweeps as one CSV, with a header. A failed write leaves no file."""
    path = user_path(path)
    rows = [row for sweep in sweeps for row in sweep.to_rows()]
    with (
        written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _seeds_of(strategy: Strategy, seeds: Sequence[int]) -> Sequence[int]:
    """Return the seeds that give different masks; the grid has only one."""
    return seeds[:1] if strategy == "grid" else seeds


def _names_of(images: object, count: int) -> tuple[str, ...]:
    """Return the path of each image, an empty text where it has none."""
    items = images if isinstance(images, list | tuple) else [images] * count if isinstance(images, str | Path) else []
    return tuple(str(item) if isinstance(item, str | Path) else "" for item in items) or ("",) * count
