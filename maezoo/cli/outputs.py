"""Where commands write: each result to a place of its own, and never over an input."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import typer

from maezoo.files import is_stream, picture_format

__all__ = ["check_figure_name", "check_no_input", "picture_targets"]

_FIGURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")
_STEM = 240  # bytes for an image's name, followed by "-1234.mae.png"; most file systems allow 255 in all


def check_figure_name(output: Path, option: str) -> None:
    """Refuse a figure whose suffix stands for no format, before any work is done."""
    if output.suffix.lower() not in _FIGURES:
        raise typer.BadParameter(f"{output} must end in {', '.join(_FIGURES)}.", param_hint=option)


def check_no_input(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs."""
    if not is_stream(output) and _place(output) in set(map(_place, inputs)):
        raise typer.BadParameter(f"{output} is an input, and would be written over; name another file.")


def picture_targets(images: list[Path], output: Path | None) -> list[Path]:
    """Return where the picture of each image goes.

    Args:
        images: the inputs. Those of one name in different folders, or of names that differ only in case, in the
            suffix or in how accents are composed, get numbers.
        output: a file for one image, a folder for several; next to the images when `None`.
    """
    if output is not None and (is_stream(output) or (output.suffix and not output.is_dir())):
        if len(images) > 1:
            raise typer.BadParameter(f"{output} is one file for {len(images)} images; name a folder.", param_hint="-o")
        try:
            picture_format(output)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="-o") from error
        check_no_input(output, images)
        return [output]
    taken = set(map(_place, images))
    times: Counter[str] = Counter()
    targets = []
    for image in images:
        stem = _shortened(image.stem)
        folder = image.parent if output is None else output
        first = _place(folder / f"{stem}.mae.png")
        while True:
            times[first] += 1
            number = f"-{times[first]}" if times[first] > 1 else ""
            target = folder / f"{stem}{number}.mae.png"
            if _place(target) not in taken:
                break
        taken.add(_place(target))
        targets.append(target)
    return targets


def _place(path: Path) -> str:
    """Return one text for all names of a place, also where a file system takes upper for lower case."""
    text = unicodedata.normalize("NFD", os.path.realpath(path)).casefold()
    return unicodedata.normalize("NFC", text)


def _shortened(stem: str) -> str:
    """Cut a name that leaves no room for a suffix."""
    while len(os.fsencode(stem)) > _STEM:
        stem = stem[:-1]
    return stem
