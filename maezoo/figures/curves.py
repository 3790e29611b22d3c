"""The plot of mask-ratio sweeps: error against the share that is hidden, over pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from maezoo.errors import ArgumentError
from maezoo.figures.canvas import check_width, new_figure, show_picture, text_of
from maezoo.figures.layout import PanelGrid
from maezoo.figures.measures import margins_of, place, wrap_text
from maezoo.figures.sweep import MaskRatioSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_sweep"]

_TRAINED = 0.75  # the ratio of the paper, at which the published models were trained
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's
# told apart without colours as well: strategies, or models if there is one strategy
_STRATEGIES = {"random": ("o", "-"), "block": ("s", "--"), "grid": ("^", "-."), "cells": ("D", ":")}
_STYLES = tuple(_STRATEGIES.values())
_WIDTH = 6.4  # inches of the curve alone
_LEAST = 5.0  # with pictures below
_EDGE = 0.05  # inches round the curve


def plot_sweep(
    sweeps: MaskRatioSweep | Sequence[MaskRatioSweep],
    *,
    pictures: bool | Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    width: float | None = None,
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw error against mask ratio, with a band of one standard deviation over images and seeds.

    Below the curves of one model stand pictures of the first image at each ratio.

    Args:
        sweeps: one, with a line for each strategy; or those of several models, each in a colour of its own.
        pictures: draw the pictures, or those of some ratios alone; `None` draws them for one sweep and not for several.
        labels: one text for each sweep, instead of its model's name.
        title: over the curves, instead of model and number of images; `""` for none.
        width: of the figure in inches; its height follows. Fonts and their sizes are matplotlib's settings.
        ax: draw the curves here, without pictures, instead of in a new figure.

    Returns:
        The figure; the one that `ax` is part of.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no sweep, another number of labels, errors of different units, pictures of a ratio that was not
            measured, pictures or a width together with `ax`, or a width that leaves no room.

    Example:
        >>> import maezoo, torch
        >>> from maezoo.figures import measure_sweep
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> sweep = measure_sweep(model, torch.zeros(1, 3, 96, 96), ratios=(0.5, 0.75), seeds=1)
        >>> plot_sweep(sweep).axes[0].get_xlabel()
        'share of patches hidden'
        >>> float(plot_sweep(sweep, pictures=False, width=3.3).get_figwidth())
        3.3
    """
    given = [sweeps] if isinstance(sweeps, MaskRatioSweep) else list(sweeps)
    names = _check(given, labels)
    check_width(width)
    if ax is not None:
        if pictures or width is not None:
            raise ArgumentError("ax takes the curves alone: leave out pictures and width, or leave out ax.")
        _draw_lines(ax, given, names, title)
        ax.legend(title=_band_text(given))
        return cast("Figure", ax.figure)
    ratios = _ratios_shown(given, pictures)
    wide = width or (max(_LEAST, (len(ratios) + 1) * 1.05) if ratios else _WIDTH)
    figure = new_figure(wide, 4.0)
    curve = _Curve(figure, given, names, title)
    if not ratios:
        height = curve.fit(wide)
        figure.set_size_inches(wide, height)
        curve.place(0)
        return figure
    return _draw_pictures(figure, given, names, ratios, wide).fit(curve)


class _Curve:
    """The curves with their legend below, in a place measured in inches. A part of a figure."""

    def __init__(self, figure: "Figure", sweeps: list[MaskRatioSweep], names: list[str], title: str | None) -> None:
        self._figure = figure
        self._axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        _draw_lines(self._axes, sweeps, names, title)
        self._heading, self._note = self._axes.get_title(loc="left"), _band_text(sweeps)
        self._legend: Any = None
        self._size = (1.0, 1.0, 1.0, 1.0)  # left, bottom, width, height of the axes

    def fit(self, width: float) -> float:
        """Take a width in inches and return the height needed."""
        from matplotlib import rcParams

        height = min(3.2, max(1.5, 0.5 * width))
        legend = self._fit_legend(width)
        left = right = bottom = top = 0.3
        self._figure.set_size_inches(width, height + 2)
        for _ in range(3):
            inner = width - left - right - 2 * _EDGE
            if inner < 0.5:
                raise ArgumentError(f"the curves do not fit into width={width}: take a larger width or a smaller font.")
            place(self._axes, left, 1, inner, height)
            heading = wrap_text(self._figure, self._heading, inner, rcParams["axes.titlesize"])
            self._axes.set_title(self._heading if "$" in self._heading else heading, loc="left")
            left, right, bottom, top = margins_of(self._axes)
        self._size = (left + _EDGE, legend + bottom + 2 * _EDGE, inner, height)
        return legend + bottom + height + top + 3 * _EDGE

    def place(self, bottom: float) -> None:
        """Take a place in the figure, `bottom` inches above its lower edge."""
        left, above, width, height = self._size
        place(self._axes, left, bottom + above, width, height)
        across = float(self._figure.get_size_inches()[0])
        self._legend.set_bbox_to_anchor((across / 2, bottom + _EDGE), transform=self._figure.dpi_scale_trans)

    def _fit_legend(self, width: float) -> float:
        """Write the legend in as many columns as fit, and return its height in inches."""
        from matplotlib import rcParams

        handles, labels = self._axes.get_legend_handles_labels()
        note = wrap_text(self._figure, self._note, 0.9 * width, rcParams["legend.fontsize"])
        canvas: Any = self._figure.canvas
        for columns in range(len(handles), 0, -1):
            if self._legend is not None:
                self._legend.remove()
            self._legend = self._figure.legend(
                handles,
                labels,
                loc="lower center",
                title=note,
                title_fontsize=rcParams["legend.fontsize"],
                ncols=columns,
                frameon=False,
                handlelength=3,
                borderaxespad=0,
                borderpad=0.1,
            )
            box = self._legend.get_window_extent(canvas.get_renderer())
            if box.width <= (width - 2 * _EDGE) * self._figure.dpi:
                break
        return float(box.height / self._figure.dpi)


def _draw_lines(panel: "Axes", sweeps: list[MaskRatioSweep], names: list[str], title: str | None) -> None:
    """Draw one line and band for each model and strategy."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    one = len(sweeps) == 1
    single = len({strategy for sweep in sweeps for strategy in sweep.strategies}) == 1
    for number, (sweep, name) in enumerate(zip(sweeps, names, strict=True)):
        for line, strategy in enumerate(sweep.strategies):
            colour = _COLOURS[(list(_STRATEGIES).index(strategy) if one else number) % len(_COLOURS)]
            label = strategy if one else name if single else f"{name}, {strategy}"
            order = sorted(range(len(sweep.ratios)), key=lambda i: sweep.ratios[i])
            points = [
                (100 * sweep.ratios[i], sweep.error[line, i].item(), sweep.deviation[line, i].item()) for i in order
            ]
            style = _STYLES[number % len(_STYLES)] if single and not one else _STRATEGIES[strategy]
            _draw_line(panel, points, colour, style, text_of(label))
    panel.axvline(100 * _TRAINED, color="#767676", linewidth=1, linestyle=":")
    panel.set_xlabel("share of patches hidden")
    panel.set_ylabel(f"error of hidden patches\n({sweeps[0].unit})")
    panel.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    panel.xaxis.set_major_formatter(PercentFormatter(symbol=" %", decimals=0))
    panel.set_xlim(0, 100)
    panel.tick_params(
        axis="x", pad=0.5 * float(panel.xaxis.get_ticklabels()[0].get_fontsize())
    )  # clear of the y axis' zero
    panel.set_ylim(bottom=0)
    panel.set_title(text_of(_heading(sweeps, names)) if title is None else title, loc="left")
    panel.grid(linewidth=0.8, alpha=0.4)
    panel.spines[["top", "right"]].set_visible(False)


def _draw_line(
    panel: "Axes", points: list[tuple[float, float, float]], colour: str, style: tuple[str, str], label: str
) -> None:
    """Draw (share, error, deviation) points as a line and its band."""
    marker, dash = style
    shares, errors, deviations = (list(values) for values in zip(*points, strict=True))
    low = [error - deviation for error, deviation in zip(errors, deviations, strict=True)]
    high = [error + deviation for error, deviation in zip(errors, deviations, strict=True)]
    panel.plot(shares, errors, color=colour, marker=marker, linestyle=dash, label=label, linewidth=1.8, markersize=5)
    if len(points) == 1:
        panel.vlines(shares, low, high, color=colour, alpha=0.5)
    elif any(deviations):
        panel.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)


def _draw_pictures(
    figure: "Figure", sweeps: list[MaskRatioSweep], names: list[str], ratios: list[float], width: float
) -> PanelGrid:
    """Draw the first image of each sweep at chosen ratios, masked and reconstructed: two rows for each strategy."""
    H, W = sweeps[0].view.upright(sweeps[0].original).shape[-2:]
    blocks = [(sweep, name, s) for sweep, name in zip(sweeps, names, strict=True) for s in range(len(sweep.strategies))]
    grid = PanelGrid(2 * len(blocks), len(ratios) + 1, H / W, width=width, figure=figure)
    drawn: list[Tensor] = []
    for number, (sweep, name, s) in enumerate(blocks):
        masked, filled = grid.axes[2 * number], grid.axes[2 * number + 1]
        if not any(each is sweep.original for each in drawn):
            show_picture(masked[0], sweep.view.pictures(sweep.original)[0])
            drawn.append(sweep.original)
        strategy = sweep.strategies[s]
        grid.add_caption(2 * number, strategy if len(sweeps) == 1 else f"{name}, {strategy}", rows=2)
        for column, ratio in enumerate(ratios, start=1):
            place_of = sweep.ratios.index(ratio)
            made = sweep.masked[s, place_of], sweep.pixels[s, place_of]
            hidden = (made[0] != sweep.original).any(dim=0)  # (H, W)
            _, *shown = sweep.view.pictures(sweep.original, made, hidden)
            show_picture(masked[column], shown[0])
            show_picture(filled[column], shown[1])
    grid.add_titles(["original", *(text_of(f"{100 * ratio:g}\N{NO-BREAK SPACE}%") for ratio in ratios)])
    return grid


def _check(sweeps: list[MaskRatioSweep], labels: Sequence[str] | None) -> list[str]:
    """Return the name of each sweep; refuse sweeps that have no common axis."""
    if not sweeps:
        raise ArgumentError("there is no sweep to draw; pass at least one.")
    units = sorted({sweep.unit for sweep in sweeps})
    if len(units) > 1:
        raise ArgumentError(f"errors of {' and '.join(units)} have no common scale; draw them apart.")
    if labels is None:
        return [sweep.model for sweep in sweeps]
    if isinstance(labels, str) or len(labels) != len(sweeps):
        raise ArgumentError(f"labels is a list with one text for each of the {len(sweeps)} sweeps; got {labels!r}.")
    return list(labels)


def _ratios_shown(sweeps: list[MaskRatioSweep], pictures: bool | Sequence[float] | None) -> list[float]:
    """Return the ratios of the pictures; none for the curves alone."""
    if pictures is None:
        pictures = len(sweeps) == 1
    common = [ratio for ratio in sweeps[0].ratios if all(ratio in sweep.ratios for sweep in sweeps)]
    if isinstance(pictures, bool):
        return common if pictures else []
    missing = [ratio for ratio in pictures if ratio not in common]
    if missing:
        raise ArgumentError(
            f"pictures of {missing[0]} were not measured; the ratios are {', '.join(map(str, common))}."
        )
    return list(pictures)


def _heading(sweeps: list[MaskRatioSweep], names: list[str]) -> str:
    """Return what stands over the curves."""
    counts = {sweep.images for sweep in sweeps}
    images = f"{sweeps[0].images} image{'' if counts == {1} else 's'}" if len(counts) == 1 else ""
    return ", ".join(filter(None, [names[0] if len(sweeps) == 1 else "", images]))


def _band_text(sweeps: list[MaskRatioSweep]) -> str:
    """Say what lines and bands are."""
    seeds = max(len(sweep.seeds) for sweep in sweeps)
    over = [f"{word}s" for word, many in (("image", sweeps[0].images), ("mask", seeds)) if many > 1]
    return f"mean and standard deviation over {' and '.join(over)}" if over else "one image, one mask"
