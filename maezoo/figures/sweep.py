"""The mask-ratio sweep: how the error grows with the share that is hidden, and what it looks like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maezoo.api.reconstruction import Reconstruction
from maezoo.errors import ArgumentError
from maezoo.figures.canvas import LINE_STYLES, TEXT_SIZE, label_row, new_figure, show_picture, title_column
from maezoo.images.batches import ImageLikes
from maezoo.progress import track
from maezoo.vocabulary import STRATEGIES, Strategy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maezoo.api.image_methods import ImageMethods

__all__ = ["RATIOS", "MaskRatioSweep", "measure_sweep", "plot_sweep"]

RATIOS = (0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.75, 0.80, 0.90, 0.95)
_TRAINED = 0.75  # the ratio of the paper, at which the published models were trained


@dataclass(frozen=True)
class MaskRatioSweep:
    """Errors of a model over mask ratios and strategies, and one image's pictures.

    Attributes:
        ratios: R shares of hidden patches.
        strategies: S ways to choose them.
        error: (S, R) float32, the mean loss over images and seeds, in the target's space.
        deviation: (S, R) float32, standard deviation of the loss over images and seeds.
        original: (C, H, W) in [0, 1], the first image.
        masked: (S, R, C, H, W), its masked pictures.
        pixels: (S, R, C, H, W), its reconstructions with the visible patches pasted.
        images: how many images were measured.
        model: the model's name.
    """

    ratios: tuple[float, ...]
    strategies: tuple[Strategy, ...]
    error: Tensor
    deviation: Tensor
    original: Tensor
    masked: Tensor
    pixels: Tensor
    images: int
    model: str


def measure_sweep(
    model: "ImageMethods",
    images: ImageLikes,
    *,
    ratios: Sequence[float] = RATIOS,
    strategies: Sequence[Strategy] = STRATEGIES,  # type: ignore[assignment]  # the same words
    seeds: int = 3,
    batch_size: int = 32,
    progress: bool = False,
) -> MaskRatioSweep:
    """Measure the reconstruction error over mask ratios.

    Args:
        model: a model with a decoder.
        images: as in `MAE.encode`; the first one is pictured.
        ratios: shares of patches to hide, in (0, 1].
        strategies: `"random"`, `"block"`, `"grid"`.
        seeds: draws that are averaged; the grid is always the same.
        batch_size: images at a time.
        progress: show a bar.

    Raises:
        DecoderMissingError: the model has no decoder.
        ImageError, MaskError: an image that cannot be read, or an impossible ratio or strategy.
        ArgumentError: no image, ratio, strategy or seed.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> measure_sweep(model, torch.zeros(1, 3, 96, 96), ratios=(0.5, 0.75), seeds=1).error.shape
        torch.Size([3, 2])
    """
    model.require_decoder()
    inputs = model.prepare(images)
    if not (len(inputs) and len(ratios) and len(strategies) and seeds > 0):
        raise ArgumentError("a sweep needs at least one image, one ratio, one strategy and one seed.")
    errors, deviations, masked, pixels, original = [], [], [], [], None
    with track(len(ratios) * len(strategies), "masks", show=progress) as advance:
        for strategy in strategies:
            for ratio in ratios:
                runs = _reconstruct(model, inputs, ratio, strategy, seeds, batch_size)
                losses = torch.cat([run.loss for run in runs]).float().cpu()
                errors.append(losses.mean())
                deviations.append(losses.std(correction=0))
                masked.append(runs[0].masked[0].cpu())
                pixels.append(runs[0].pixels[0].cpu())
                original = runs[0].original[0].cpu()
                advance(1)
    shape = (len(strategies), len(ratios))
    return MaskRatioSweep(
        ratios=tuple(ratios),
        strategies=tuple(strategies),
        error=torch.stack(errors).reshape(shape),
        deviation=torch.stack(deviations).reshape(shape),
        original=original if original is not None else torch.empty(0),
        masked=torch.stack(masked).reshape(*shape, *masked[0].shape),
        pixels=torch.stack(pixels).reshape(*shape, *pixels[0].shape),
        images=len(inputs),
        model=model.name,
    )


def _reconstruct(
    model: "ImageMethods", inputs: Tensor, ratio: float, strategy: Strategy, seeds: int, batch_size: int
) -> list[Reconstruction]:
    """Reconstruct under each seed's mask; the grid has only one."""
    return [
        model.reconstruct(inputs, mask_ratio=ratio, strategy=strategy, seed=seed, batch_size=batch_size)
        for seed in range(1 if strategy == "grid" else seeds)
    ]


def plot_sweep(sweep: MaskRatioSweep) -> "Figure":
    """Draw error against mask ratio, one line for each strategy, over pictures of the first image at each ratio.

    Raises:
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> sweep = measure_sweep(model, torch.zeros(1, 3, 96, 96), ratios=(0.5, 0.75), seeds=1)
        >>> plot_sweep(sweep).axes[0].get_xlabel()
        'share of patches hidden'
    """
    H, W = sweep.original.shape[-2:]
    columns, rows = len(sweep.ratios) + 1, 2 * len(sweep.strategies)
    width = max(8.0, columns * 1.05)
    below = rows * (width / columns) * (H / W) + 0.4
    figure = new_figure(width, 4.0 + below)
    halves = figure.subfigures(2, 1, height_ratios=[4.0, below], squeeze=False)
    _draw_lines(halves[0, 0].subplots(), sweep)
    axes = halves[1, 0].subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for row, strategy in enumerate(sweep.strategies):
        show_picture(axes[2 * row + 1, 0], sweep.original)
        label_row(axes[2 * row + 1, 0], strategy)
        for column in range(len(sweep.ratios)):
            show_picture(axes[2 * row, column + 1], sweep.masked[row, column])
            show_picture(axes[2 * row + 1, column + 1], sweep.pixels[row, column])
    for panel, ratio in zip(axes[0, 1:], sweep.ratios, strict=True):
        title_column(panel, f"{100 * ratio:g} %")
    return figure


def _draw_lines(panel: "Axes", sweep: MaskRatioSweep) -> None:
    """Draw one line for each strategy, with a band of one standard deviation of the mean."""
    shares = [100 * ratio for ratio in sweep.ratios]
    for strategy, error in zip(sweep.strategies, sweep.error, strict=True):
        colour, marker, dash = LINE_STYLES[strategy]
        panel.plot(shares, error.tolist(), color=colour, marker=marker, linestyle=dash, label=strategy, linewidth=2)
    panel.axvline(100 * _TRAINED, color="#767676", linewidth=1, linestyle=":")
    panel.set_xlabel("share of patches hidden", fontsize=TEXT_SIZE)
    panel.set_ylabel("error of hidden patches", fontsize=TEXT_SIZE)
    panel.set_xticks(range(0, 101, 10), [f"{share} %" for share in range(0, 101, 10)])
    panel.set_xlim(0, 100)
    panel.set_ylim(bottom=0)
    panel.tick_params(labelsize=TEXT_SIZE - 1)
    plural = "" if sweep.images == 1 else "s"
    panel.set_title(f"{sweep.model}, {sweep.images} image{plural}", fontsize=TEXT_SIZE, loc="left")
    panel.legend(
        title="strategy",
        fontsize=TEXT_SIZE,
        title_fontsize=TEXT_SIZE,
        frameon=False,
        loc="upper left",
        handlelength=3.5,
    )
    panel.grid(color="#e5e5e5", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
