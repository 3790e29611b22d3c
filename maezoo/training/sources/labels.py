"""Images with labels: read from folders of classes, lists and tar shards; split; checked before work begins."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from maezoo.errors import ArgumentError, DataError
from maezoo.extraction.item import Item
from maezoo.extraction.lists import printable
from maezoo.extraction.sources import find_items
from maezoo.listing import IMAGE_SUFFIXES, is_hidden
from maezoo.paths import user_path
from maezoo.training.sources.labelled import LabelledImages

__all__ = ["open_labelled", "read_labelled"]

_log = logging.getLogger(__name__)
_TRAIN, _VAL = ("train", "training"), ("val", "valid", "validation", "test")
_NAMED = 5  # names that an error lists


def open_labelled(
    source: str | Path, val: str | Path | float | None = None, *, seed: int = 0
) -> tuple[LabelledImages, LabelledImages]:
    """Open training and validation images.

    Args:
        source: a folder of class folders, or one with such folders as `train` and `val`; tar shards with `.cls`
            members; or a `.csv` with the columns `path` and `label`.
        val: another such source; or the share of each class that is held out, 0 for none. `None`: the folder `val` if
            there is one, else a fifth.
        seed: of the images that are held out.

    Returns:
        Both; the second is empty where nothing is held out. Their classes are the same, in the same order.

    Raises:
        DataError: nothing there, no labels, one class only, a class folder without an image, or validation images of a
            class that is not trained.
        ArgumentError: the share is not below 1.
    """
    train, found = _parts(source)
    items = list(_labelled(train))
    _check_folders(train, items)
    classes = _classes(items, train)
    val = found if val is None and found is not None else val
    if isinstance(val, float | int) or val is None:
        items, held_out = _split(items, 0.2 if val is None else float(val), seed)
        return LabelledImages(items, classes, str(train)), LabelledImages(held_out, classes, str(train))
    return LabelledImages(items, classes, str(train)), read_labelled(val, classes)


def read_labelled(source: str | Path, classes: Sequence[str]) -> LabelledImages:
    """Open images whose classes are known.

    Args:
        source: see `open_labelled`; of a folder with `train` and `val`, the latter.
        classes: their names.

    Raises:
        DataError: nothing there, no labels, or a label that is no class.
    """
    train, val = _parts(source)
    place = train if val is None else val
    items = list(_labelled(place))
    unknown = sorted({str(item.label) for item in items} - set(classes))
    if unknown:
        raise DataError(
            f"{place} has labels that the model was not trained for: {_some(unknown)}. It knows {_some(classes)}.",
            path=place,
            expected=tuple(classes),
            found=tuple(unknown),
        )
    return LabelledImages(items, classes, str(place))


def _parts(source: str | Path) -> tuple[str | Path, Path | None]:
    """Return where training and validation images are: folders of these names in a folder, or one source for both."""
    if "://" in str(source):
        return source, None
    folder = user_path(source)
    if not folder.is_dir():
        return folder, None
    there = {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if entry.is_dir()}
    train = next((there[name] for name in _TRAIN if name in there), None)
    val = next((there[name] for name in _VAL if name in there), None)
    if train is None or (val is None and len(there) > 1):
        return folder, None
    return train, val


def _labelled(source: str | Path) -> Iterator[Item]:
    """Yield the images that have a label; of a folder, the name of the first folder that leads to the image."""
    is_folder = isinstance(source, Path) and source.is_dir()
    images = without = 0
    for item in find_items(source, labels=True):
        images += 1
        label = item.id.partition("/")[0] if is_folder and "/" in item.id and item.offset < 0 else item.label
        if not label:
            without += 1
            continue
        yield replace(item, label=label)
    if not images:
        raise DataError(
            f"no image in {source} (looked for {', '.join(sorted(IMAGE_SUFFIXES))}).", path=str(source), found=0
        )
    if without:
        _log.warning("%s: %d of %d images have no label and are left out.", source, without, images)


def _check_folders(source: str | Path, items: Sequence[Item]) -> None:
    """Refuse a folder of class folders where one of them holds no image: the class would be missing."""
    if not isinstance(source, Path) or not source.is_dir() or any(item.offset >= 0 for item in items):
        return
    there = {printable(entry.name) for entry in source.iterdir() if entry.is_dir() and not is_hidden(entry.name)}
    empty = sorted(there - {item.id.partition("/")[0] for item in items})
    if empty:
        raise DataError(
            f"{source} has folders without an image: {_some(empty)}. Each folder is a class: put images into them, or "
            "take them away.",
            path=source,
            found=tuple(empty),
        )


def _classes(items: Sequence[Item], source: str | Path) -> tuple[str, ...]:
    """Return the names of the classes: sorted, numbers by value."""
    names = {str(item.label) for item in items}
    if len(names) < 2:
        only = f"the class {next(iter(names))!r} only" if names else "no class"
        raise DataError(
            f"{source} has {only}; fine-tuning needs two or more: a folder for each class with its images in it, "
            "or a .csv with the columns 'path' and 'label'.",
            path=str(source),
            found=tuple(names),
        )
    if all(name.isdecimal() and name.isascii() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _split(items: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Hold out a share of each class, at least one image of those that have two or more."""
    if not 0 <= share < 1:
        raise ArgumentError(f"val is a source, or a share from 0 up to 1 (exclusive); got {share}.", found=share)
    generator = torch.Generator(device="cpu").manual_seed(seed % 2**63)
    order = torch.randperm(len(items), generator=generator, device="cpu").tolist()
    sizes = Counter(item.label for item in items)
    left = {label: min(size - 1, max(1, round(share * size))) if share else 0 for label, size in sizes.items()}
    held_out = set()
    for number in order:
        label = items[number].label
        if left[label] > 0:
            left[label] -= 1
            held_out.add(number)
    kept = [item for number, item in enumerate(items) if number not in held_out]
    return kept, [items[number] for number in sorted(held_out)]


def _some(names: Sequence[str]) -> str:
    """List some names."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
