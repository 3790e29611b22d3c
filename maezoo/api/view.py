"""How the input of a field is shown to people: RGB of chosen bands, a spectrogram in dB, a strip of text as lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from maezoo.api.strip import error_picture, shown
from maezoo.errors import ArgumentError
from maezoo.images.fbank import RATE, SHIFT, band_centres
from maezoo.images.preprocessing import Preprocessing
from maezoo.vocabulary import InputKind

__all__ = ["View", "view_of"]

_TRUE_COLOURS = (("B04", "B03", "B02"), ("red", "green", "blue"))
_STRETCH = (2, 98)  # percentiles of the original that become black and white
_DECIBELS = 10 / math.log(10)  # in a unit of the natural logarithm of an energy
_RANGE = 80  # dB below the loudest that are shown
_TICKS = (250, 500, 1000, 2000, 4000, 8000)  # Hz
_LEFT, _BOTTOM, _RIGHT, _TOP = 60, 34, 72, 8  # pixels around a spectrogram
_LINE = 48  # patches of a line of text
_PAPER, _INK, _GREY = (255, 255, 255), (32, 32, 32), (128, 128, 128)
_MAGMA = ("#000004", "#b73779", "#fcfdbf")


@dataclass(frozen=True)
class View:
    """How one model's inputs are shown.

    Attributes:
        kind: of input.
        channels: those that are shown of many, one or three; those of a picture when empty.
        names: what these are called.
    """

    kind: InputKind = "picture"
    channels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def stacked(self) -> bool:
        """Whether pictures are so wide that they stand below each other."""
        return self.kind != "picture"

    @property
    def values(self) -> str:
        """What the numbers of an input are called: `"pixels"`, `"band values"` or `"log-mel energies"`."""
        return "log-mel energies" if self.kind == "sound" else "band values" if self.channels else "pixels"

    @property
    def note(self) -> str:
        """What is written under a picture to explain it."""
        if not self.channels:
            return ""
        low, high = _STRETCH
        return f"; shown: {' '.join(self.names)}, black and white at {low} and {high} % of the original"

    def panels(self, original: Tensor, others: Sequence[Tensor], hidden: Tensor | None = None) -> list[Image.Image]:
        """Draw an input and what was made of it, all on one scale.

        Args:
            original: (C, H, W), without mean and standard deviation.
            others: more of that shape; the first of them is drawn with its hidden pixels grey.
            hidden: (H, W) bool.
        """
        if self.kind == "sound":
            top = float(original.max()) * _DECIBELS
            covered = [None, hidden, *[None] * len(others)]
            return [_spectrogram(each, top, mask) for each, mask in zip((original, *others), covered, strict=False)]
        pictures = [shown(each) for each in self.pictures(original, others, hidden)]
        return [_lines(each) for each in pictures] if self.kind == "text" else pictures

    def pictures(self, original: Tensor, others: Sequence[Tensor] = (), hidden: Tensor | None = None) -> list[Tensor]:
        """Return an input, and what was made of it, in [0, 1], all on one scale: as figures show them.

        Bands are those that are chosen; of sounds 1 is the loudest of the original and 0 is 80 dB below, and they are
        `upright`.

        Args:
            original: as in `panels`.
            others: as in `panels`.
            hidden: as in `panels`.

        Returns:
            (1 or 3, H, W) each; (C, H, W) of photographs, (1, W, H) of sounds.
        """
        every = [original, *others]
        if self.kind == "sound":
            top = original.max() - _RANGE / _DECIBELS
            found = [(each - top) * (_DECIBELS / _RANGE) for each in every]
        elif self.channels:
            chosen = list(self.channels)
            flat = original[chosen].float().flatten(1).cpu().numpy()  # (1 or 3, H*W)
            low, high = (torch.tensor(row)[:, None, None] for row in np.percentile(flat, _STRETCH, axis=1))
            found = [(each[chosen].cpu() - low) / (high - low).clamp(min=1e-9) for each in every]
        else:
            return [each.clamp(0, 1) for each in every]
        if hidden is not None and len(found) > 1:
            found[1] = found[1].masked_fill(hidden.to(found[1].device), 0.5)
        return [self.upright(each.clamp(0, 1)) for each in found]

    def upright(self, values: Tensor) -> Tensor:
        """Turn an input, or a map of its patches, as people read it: of sounds time to the right, frequency upwards.

        Args:
            values: (…, h, w).

        Returns:
            (…, w, h) of sounds; others as they are.
        """
        return values.transpose(-1, -2).flip(-2) if self.kind == "sound" else values

    def error_panel(self, values: Tensor, size: tuple[int, int], highest: float) -> Image.Image:
        """Draw an (h, w) map of errors as large as a panel of an input (H, W); the lightest colour is `highest`."""
        if self.kind == "sound":
            return _with_axes(error_picture(self.upright(values), size[::-1], highest))
        picture = error_picture(values, size, highest)
        return _lines(picture) if self.kind == "text" else picture

    def rows(self, rows: list[list[Image.Image]]) -> list[list[Image.Image]]:
        """Return rows of panels as they stand in a strip: below each other where they are wide."""
        return [[panel] for row in rows for panel in row] if self.stacked else rows

    def titles(self, titles: tuple[str, ...]) -> tuple[str, ...]:
        """Return what is written over the columns of a strip."""
        return ("",) if self.stacked else titles

    def notes(self, titles: tuple[str, ...], notes: list[str]) -> list[str]:
        """Return what is written under the rows of a strip, given what is to be said of each image."""
        if not self.stacked:
            return notes
        return [each for note in notes for each in (*titles[:-1], f"{titles[-1]}: {note}")]


def view_of(preprocess: Preprocessing, bands: Sequence[str | int] | None) -> View:
    """Return how inputs are shown.

    Args:
        preprocess: of the model.
        bands: one or three bands, by name or by number from 0; the natural colours where the weights have them, else
            the first band, when `None`.

    Raises:
        ArgumentError: other bands than the weights'; the message names these.

    Example:
        >>> weights = Preprocessing((32, 32), mean=(0.0,) * 4, std=(1.0,) * 4, bands=("B02", "B03", "B04", "B08"))
        >>> view_of(weights, None).channels, view_of(weights, ("B08",)).channels
        ((2, 1, 0), (3,))
    """
    named = preprocess.bands
    if named is None:
        if bands is not None:
            raise ArgumentError("bands= is for weights whose bands have names; these have none.", found=bands)
        return View(preprocess.kind)
    if bands is None:
        known = {band.lower(): place for place, band in enumerate(named)}
        for colours in _TRUE_COLOURS:
            if all(colour.lower() in known for colour in colours):
                return View("picture", tuple(known[colour.lower()] for colour in colours), colours)
        return View("picture", (0,), named[:1])
    asked = (bands,) if isinstance(bands, str | int) else tuple(bands)
    places = [named.index(each) if each in named else each for each in asked]
    if len(asked) not in (1, 3) or not all(type(place) is int and 0 <= place < len(named) for place in places):
        raise ArgumentError(
            f"bands are one or three of {', '.join(named)}, or their numbers from 0; got {bands!r}.",
            expected=named,
            found=bands,
        )
    chosen = tuple(int(place) for place in places)
    return View("picture", chosen, tuple(named[place] for place in chosen))


def _spectrogram(energies: Tensor, top: float, hidden: Tensor | None) -> Image.Image:
    """Draw natural log-mel energies (1, frames, bands): time to the right, frequency upwards, a scale of dB."""
    decibels = energies[0].float().cpu().numpy() * _DECIBELS
    level = ((decibels - top + _RANGE) / _RANGE * 255).clip(0, 255).astype(np.uint8)
    picture = _coloured(level.T[::-1])
    if hidden is not None:
        cover = Image.fromarray(np.where(hidden.cpu().numpy().T[::-1], 255, 0).astype(np.uint8))
        picture.paste(_GREY, mask=cover)
    sheet = _with_axes(picture)
    left, height = sheet.width - _RIGHT, sheet.height - _TOP - _BOTTOM
    bar = _coloured(np.linspace(255, 0, height).astype(np.uint8)[:, None].repeat(12, axis=1))
    sheet.paste(bar, (left + 12, _TOP))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for part in (0, 0.5, 1):
        y = _TOP + 6 + int(part * (height - 12))
        pen.text((left + 28, y), f"{top - part * _RANGE:.0f} dB", _INK, font, anchor="lm")
    return sheet


def _with_axes(picture: Image.Image) -> Image.Image:
    """Put a picture of frames x bands pixels on paper, with seconds below and frequencies on its left."""
    frames, bands = picture.size
    width, height = frames * max(1, 600 // frames), bands * max(1, 256 // bands)
    sheet = Image.new("RGB", (_LEFT + width + _RIGHT, _TOP + height + _BOTTOM), _PAPER)
    sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), (_LEFT, _TOP))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    centres = band_centres(bands)
    for hertz in _TICKS:
        y = _TOP + height - int((float(np.interp(hertz, centres, np.arange(bands))) + 0.5) * height / bands)
        pen.line((_LEFT - 5, y, _LEFT, y), _INK)
        pen.text((_LEFT - 8, max(y, _TOP + 6)), f"{hertz / 1000:g} kHz", _INK, font, anchor="rm")
    seconds = frames * SHIFT / RATE
    step = next(each for each in (0.1, 0.2, 0.5, 1, 2, 5, 10, math.inf) if seconds / each <= 10)
    for number in range(int(seconds / step) + 1):
        x = _LEFT + int(number * step / seconds * width)
        pen.line((x, _TOP + height, x, _TOP + height + 5), _INK)
        pen.text((x, _TOP + height + 18), f"{number * step:g} s", _INK, font, anchor="mm")
    return sheet


def _coloured(level: NDArray[np.uint8]) -> Image.Image:
    low, middle, high = _MAGMA
    return ImageOps.colorize(Image.fromarray(np.ascontiguousarray(level)), low, high, middle)


def _lines(strip: Image.Image) -> Image.Image:
    """Cut a strip into lines, one below the other."""
    P, length = strip.height, min(strip.width, _LINE * strip.height)
    rows = -(-strip.width // length)
    sheet = Image.new("RGB", (length, rows * (P + 4) - 4), _PAPER)
    for row in range(rows):
        sheet.paste(strip.crop((row * length, 0, min((row + 1) * length, strip.width), P)), (0, row * (P + 4)))
    return sheet
