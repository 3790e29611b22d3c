"""Text drawn as PIXEL's training drew it: black on white, one line, a black patch at its end.

Measures, and how a line is placed, are those of the project's first renderer: 8 points at 120 dots an inch, from the
third pixel on, centred by its ink. Source:
https://github.com/xplip/pixel/blob/bc36003ff3198f9d422c83b19999be53b0e0c8b0/pixel/data/rendering/pygame_renderer.py
"""

import functools
import logging
import os
import threading
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from maezoo.errors import ImageError

__all__ = ["as_line", "draw_strip", "open_font", "split_line"]

_PATCH = 16
_FONT_SIZE = 8 * 120 / 72  # pixels
_MARGIN = 2  # pixels before and after a line
_FONTS = ("GoNotoCurrent.ttf", "GoNotoCurrent-Regular.ttf", "GoNotoKurrent-Regular.ttf", "NotoSans-Regular.ttf")
_NO_GLYPH = "\U0010ffff"  # a character that no font has
_MOST_SHOWN = 10
_UNSEEN = ("Cc", "Cf", "Cs")  # controls, marks without a shape such as U+200B, halves of surrogate pairs
_LOCK = threading.Lock()  # so that one of several threads tells of the font
_log = logging.getLogger(__name__)


def as_line(text: object, name: str, most: int) -> str:
    """Return text as one line: every run of white space becomes a space, what has no shape is left out.

    Accents that are characters of their own are joined with their letters (Unicode's NFC), as fonts have them.

    Args:
        text: the text.
        name: what errors call it.
        most: pixels that it may be wide.

    Raises:
        ImageError: it is no text, empty, or longer than could be drawn.
    """
    if not isinstance(text, str):
        raise ImageError(f"{name}: a text is a str; got a {type(text).__name__}.")
    if len(text) > 4 * most:  # not even measured
        raise ImageError(_too_long(name, f"{len(text):,} characters", most), reason="it is too long", found=len(text))
    kept = "".join(letter for letter in text if letter.isspace() or unicodedata.category(letter) not in _UNSEEN)
    line = unicodedata.normalize("NFC", " ".join(kept.split()))
    if not line:
        raise ImageError(f"{name} is an empty text.", reason="it is empty")
    return line


def draw_strip(lines: list[str], font: "str | os.PathLike[str] | None", name: str, most: int) -> NDArray[np.uint8]:
    """Draw one text, or a pair of them, as a strip.

    Args:
        lines: one or two texts, as `as_line` gives them; a black patch follows each.
        font: path of a font; what `open_font` finds when `None`.
        name: what errors call it.
        most: pixels that the strip may be wide.

    Returns:
        (16, W) uint8, just as wide as it needs, a multiple of 16.

    Raises:
        ImageError: it is too long, the font cannot be opened, or has none of the characters.
    """
    face = open_font(font)
    _check_glyphs(face, "".join(lines), name)
    strip = np.full((_PATCH, most), 255, np.uint8)
    start = 0
    for line in lines:
        width = max(1, round(face.getlength(line)))
        end = _next_patch(start + 2 * _MARGIN + width)
        if end + _PATCH > most:
            patches = f"{1 + (end + sum(map(len, lines[1:]))) // _PATCH} patches"
            raise ImageError(_too_long(name, patches, most), reason="it is too long", expected=most, found=end + _PATCH)
        _write(strip, line, face, start + _MARGIN)
        strip[:, end : end + _PATCH] = 0
        start = end + _PATCH
    return np.ascontiguousarray(strip[:, :start])


def split_line(line: str, font: "str | os.PathLike[str] | None", most: int) -> list[str]:
    """Split a line at its spaces into parts that a strip of `most` pixels holds; a longer word is cut."""
    face, room = open_font(font), most - _PATCH - 2 * _MARGIN - _PATCH
    parts, current = [], ""
    for word in line.split():
        pieces = [word]
        while face.getlength(pieces[-1]) > room:
            fitting = max(1, int(len(pieces[-1]) * room / face.getlength(pieces[-1])) - 1)
            pieces[-1:] = [pieces[-1][:fitting], pieces[-1][fitting:]]
        for piece in pieces:
            joined = f"{current} {piece}" if current else piece
            if current and face.getlength(joined) > room:
                parts.append(current)
                joined = piece
            current = joined
    return [*parts, current] if current else parts


def open_font(font: "str | os.PathLike[str] | None") -> Any:
    """Open a font at the size of training.

    Args:
        font: its path. When `None`, that in `MAEZOO_FONT`; else Go Noto or Noto Sans, the fonts of training, where the
            system has them; else the one that Pillow brings along, which is told.

    Raises:
        ImageError: it cannot be opened.
    """
    chosen = font or os.environ.get("MAEZOO_FONT")
    with _LOCK:
        return _open_font(os.fspath(chosen) if chosen else None)


@functools.lru_cache(maxsize=16)
def _open_font(chosen: str | None) -> Any:
    """Open a font as `open_font` says."""
    for path in [chosen] if chosen else _FONTS:
        try:
            return ImageFont.truetype(path, _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
        except OSError as error:
            if chosen:
                raise ImageError(f"the font {path} cannot be opened: {error}.", path=path, reason=str(error)) from error
    found = ImageFont.load_default(_FONT_SIZE)
    _log.warning(
        "text is drawn with %s, the font that Pillow brings along; training drew it with Go Noto Current. Name a font "
        "with maezoo.Text(text, font=path) or in MAEZOO_FONT.",
        " ".join(filter(None, found.getname())) if hasattr(found, "getname") else "a bitmap font",
    )
    return found


def _write(strip: NDArray[np.uint8], line: str, face: Any, left: int) -> None:
    """Draw a line in black, its ink in the middle of the strip's height; what is higher is cut off."""
    mask, (bearing, _) = face.getmask2(line, "L", anchor="ls")
    width, height = mask.size
    if not width or not height:
        return
    canvas = Image.new("L", (width, _PATCH), 0)
    ink = Image.frombytes("L", mask.size, bytes(mask))
    canvas.paste(ink, (0, _PATCH // 2 - height // 2))
    left = max(0, left + int(bearing))
    ends = min(left + width, strip.shape[1])
    strip[:, left:ends] = np.minimum(strip[:, left:ends], 255 - np.asarray(canvas)[:, : ends - left])


def _check_glyphs(face: Any, text: str, name: str) -> None:
    """Warn of characters that a font does not have; refuse a text of them alone."""
    blank = bytes(face.getmask(_NO_GLYPH))
    letters = sorted({letter for letter in text if not letter.isspace()})
    lacking = [letter for letter in letters if bytes(face.getmask(letter)) == blank]
    if not lacking:
        return
    shown = " ".join(f"{letter} (U+{ord(letter):04X})" for letter in lacking[:_MOST_SHOWN])
    more = f" and {len(lacking) - _MOST_SHOWN} more" if len(lacking) > _MOST_SHOWN else ""
    cure = "name a font that has them: maezoo.Text(text, font=path), or MAEZOO_FONT"
    if len(lacking) == len(letters):
        raise ImageError(f"{name}: the font has none of its characters: {shown}{more}; {cure}.", reason="no glyphs")
    _log.warning("%s: the font lacks %s%s, which become boxes; %s.", name, shown, more, cure)


def _next_patch(x: int) -> int:
    return -(-x // _PATCH) * _PATCH


def _too_long(name: str, length: str, most: int) -> str:
    return (
        f"{name} is a text of {length}, and a strip holds {most // _PATCH} patches; "
        "maezoo.Text(text).windows() gives it in parts."
    )
