"""Strips: pictures next to each other, one row for each image, drawn with Pillow alone."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError
from maezoo.files import picture_format, written_whole
from maezoo.paths import user_path

__all__ = [
    "INLINE_ROWS",
    "encode_picture",
    "error_picture",
    "inline_strip",
    "labelled_strip",
    "plain_strip",
    "save_picture",
    "shown",
]

_GAP = 4  # white pixels between the pictures of a strip
INLINE_ROWS = 8  # images that a notebook shows
_INLINE = 240  # pixels that a notebook's panel is about wide
_LARGEST_SCALE = 64
_LARGEST_SIDE = 30_000  # pixels of a strip; PNG allows more, few viewers do
_TEXT = 14  # pixels high
_LEAST_PANEL = 150  # pixels a title needs
_PAPER, _INK = (255, 255, 255), (32, 32, 32)
_MAGMA = ("#000004", "#b73779", "#fcfdbf")  # the ends and the middle of matplotlib's magma


def plain_strip(rows: Sequence[Sequence[Image.Image]], scale: int = 1) -> Image.Image:
    """Join rows of equal pictures with white gaps, each pixel enlarged to a square of `scale` pixels.

    Args:
        rows: of RGB pictures, all of one size.
        scale: a whole number from 1 to 64; gaps are not enlarged.

    Raises:
        ArgumentError: an impossible scale, or a strip larger than 30,000 pixels.
    """
    scale = whole_number(scale, "scale", 1, _LARGEST_SCALE, what="how often each pixel is repeated")
    if not rows:
        return Image.new("RGB", (1, 1), _PAPER)
    width, height = (side * scale for side in rows[0][0].size)
    size = (len(rows[0]) * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP)
    if max(size) > _LARGEST_SIDE:
        raise ArgumentError(
            f"a strip of {size[0]}x{size[1]} pixels is too large; take scale=1, or fewer images at a time.", found=size
        )
    strip = Image.new("RGB", size, _PAPER)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            enlarged = picture.resize((width, height), Image.Resampling.NEAREST) if scale > 1 else picture
            strip.paste(enlarged, (x * (width + _GAP), y * (height + _GAP)))
    return strip


def labelled_strip(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], notes: Sequence[str], scale: int = 1
) -> Image.Image:
    """Join rows of equal pictures, with titles over the columns and a line of text under each row.

    Args:
        rows: of RGB pictures, all of one size.
        titles: one for each column.
        notes: one for each row.
        scale: as in `plain_strip`.

    Raises:
        ArgumentError: as in `plain_strip`.
    """
    strip = plain_strip(rows, scale)
    if not rows:
        return strip
    font, line = ImageFont.load_default(_TEXT), _TEXT + 8
    width, height = (side * scale for side in rows[0][0].size)
    cell = max(width, _LEAST_PANEL)  # a narrow picture stands in the middle of its cell
    total = max(len(titles) * (cell + _GAP) - _GAP, *(int(font.getlength(note)) + 2 * _GAP for note in notes))
    sheet = Image.new("RGB", (total, line + len(rows) * (height + line + _GAP)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((column * (cell + _GAP) + cell // 2, line // 2), title, _INK, font, anchor="mm")
    for row, note in enumerate(notes):
        top = line + row * (height + line + _GAP)
        for column in range(len(titles)):
            left = column * (width + _GAP)
            picture = strip.crop((left, row * (height + _GAP), left + width, row * (height + _GAP) + height))
            sheet.paste(picture, (column * (cell + _GAP) + (cell - width) // 2, top))
        pen.text((_GAP, top + height + line // 2), note, _INK, font, anchor="lm")
    return sheet


def inline_strip(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], notes: Sequence[str], each: int = 1
) -> Image.Image:
    """Return a labelled strip for a notebook: panels about 240 pixels wide.

    Args:
        rows: of RGB pictures, all of one size: those that are shown.
        titles: one for each column.
        notes: one for each row, those that are not shown included.
        each: rows of an image.
    """
    if not rows:
        return plain_strip(rows)
    side, notes = max(rows[0][0].size), list(notes)
    first = notes[: len(rows)]
    if len(notes) > len(first):
        first[-1] += f"   (the first {len(first) // each} of {len(notes) // each} images)"
    if side >= 2 * _INLINE:  # its text would be too small in a notebook, which shows a wide picture reduced
        rows = [[picture.reduce(int(side / _INLINE)) for picture in row] for row in rows]
    return labelled_strip(rows, titles, first, max(1, int(_INLINE / side + 0.5)))


def save_picture(picture: Image.Image, path: str | Path) -> Path:
    """Write a picture; the suffix decides the format. A failed write leaves no file.

    Raises:
        ArgumentError: a suffix that Pillow writes no format for.
        DiskFullError: no room for it.
    """
    path = user_path(path)
    encoded = encode_picture(picture, picture_format(path))
    with written_whole(path) as temporary:
        temporary.write_bytes(encoded)
    return path


def encode_picture(picture: Image.Image, format: str = "PNG") -> bytes:
    """Return a picture as a file's bytes."""
    buffer = BytesIO()
    picture.save(buffer, format)
    return buffer.getvalue()


def shown(image: Tensor) -> Image.Image:
    """Turn (C, H, W) in [0, 1] to RGB; one channel is shown grey, more than three by their first three."""
    rgb = image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)
    return Image.fromarray(rgb.mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def error_picture(values: Tensor, size: tuple[int, int], highest: float) -> Image.Image:
    """Turn an (h, w) map to an RGB picture of a size (H, W): black for 0, the lightest colour from `highest` on."""
    grey: NDArray[np.uint8] = (
        (values.float() / (highest or 1)).clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
    )
    low, middle, high = _MAGMA
    coloured = ImageOps.colorize(Image.fromarray(grey), low, high, middle)
    return coloured.resize((size[1], size[0]), Image.Resampling.NEAREST)
