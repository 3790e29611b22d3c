"""dedup(): the images of an output that are alike, exactly or nearly."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maezoo.arguments import is_number
from maezoo.errors import ArgumentError
from maezoo.extraction.item import hashed
from maezoo.extraction.items import ITEMS, Items
from maezoo.extraction.remote import is_uri
from maezoo.progress import track
from maezoo.retrieval.duplicates import Duplicates, Group, Member
from maezoo.retrieval.embeddings import Embeddings, Floats, centred

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["THRESHOLD", "dedup"]

THRESHOLD = 0.98
"""Least similarity of near duplicates, by default; docs/extraction.md says what it was measured on."""
_HASH = re.compile("[0-9a-f]{64}")
_BLOCK = 2048  # rows whose similarities are computed at a time


class _Found(NamedTuple):
    """The kept row of each row (n,), and the similarity to it (n,); -1 for rows that are kept."""

    kept: NDArray[np.int64]
    similarity: Floats


def dedup(output: str | Path, *, threshold: float = THRESHOLD, progress: bool = False) -> Duplicates:
    """Find the images of an extraction that are alike.

    Images are taken from the largest to the smallest. One that is at least as similar to an image kept before as the
    threshold asks joins the group of the most similar one; otherwise it is kept. So every member is similar to the
    image that is kept, and no chain of small differences joins images that are not alike.

    Whether files have the same bytes is known from an extraction with `contents`; else the files of the groups, if they
    are on this machine, are read. All embeddings are held in memory as they are stored; products are made in blocks.

    Args:
        output: a folder that `maezoo.extract` wrote, or its URI.
        threshold: least cosine of centred embeddings, from 0 to 1.
        progress: show a bar.

    Returns:
        The groups with two members or more.

    Raises:
        SourceMissingError: no output of an extraction.
        ArgumentError: a threshold out of range.
        DataError: no rows.

    Example:
        >>> import shutil, tempfile
        >>> from PIL import Image
        >>> import maezoo
        >>> folder = Path(tempfile.mkdtemp())
        >>> for colour in ("teal", "gold", "black"):
        ...     Image.new("RGB", (96, 96), colour).save(folder / f"{colour}.png")
        >>> _ = shutil.copy(folder / "teal.png", folder / "z.png")
        >>> _ = maezoo.extract(folder, folder / "features", device="cpu")
        >>> print(dedup(folder / "features", threshold=0.99))
        1 duplicate (1 exact) in 1 group, of 4 images
    """
    if not is_number(threshold, 0, 1) or not threshold:
        raise ArgumentError(f"threshold is above 0 and at most 1; got {threshold!r}.", found=threshold)
    embeddings = Embeddings.open(output)
    ids, vectors, sizes = _read(embeddings)
    order = np.argsort(-sizes.prod(axis=1, dtype=np.int64), kind="stable")
    found = _nearest_kept(vectors, embeddings.mean, order, threshold, progress)
    return Duplicates(_groups(embeddings, ids, sizes, found), len(ids), threshold)


def _read(embeddings: Embeddings) -> "tuple[pa.ChunkedArray, NDArray[Any], NDArray[np.int32]]":
    """Return ids (n,), embeddings (n, D) as they are stored, and width and height (n, 2)."""
    import pyarrow as pa

    ids, parts, sizes = [], [np.empty((0, len(embeddings.mean)), np.float16)], [np.empty((0, 2), np.int32)]
    for batch, vectors in embeddings.vectors(["width", "height"]):
        ids.append(batch.column("id"))
        parts.append(vectors)
        sizes.append(np.stack([batch.column(name).to_numpy() for name in ("width", "height")], axis=1))
    return pa.chunked_array(ids, pa.string()), np.concatenate(parts), np.concatenate(sizes)


def _nearest_kept(
    vectors: NDArray[Any], mean: Floats, order: NDArray[np.int64], threshold: float, progress: bool
) -> _Found:
    """Decide which rows are kept, and find the nearest kept row of each other one.

    Args:
        vectors: (n, D), as stored.
        mean: (D,) of them.
        order: (n,) in which rows are taken.
        threshold: the least similarity.
        progress: show a bar.
    """
    kept = np.full(len(order), -1, np.int64)
    best = np.full(len(order), -1.0, np.float32)

    def improve(rows: NDArray[np.int64], leaders: NDArray[np.int64], similarity: Floats) -> None:
        """Take the best of some kept rows, given (rows, leaders) similarities, where it is better than before."""
        top = similarity.argmax(axis=1)
        value = similarity[np.arange(len(rows)), top]
        better = (value >= threshold) & (value > best[rows])
        best[rows[better]] = value[better]
        kept[rows[better]] = leaders[top[better]]

    blocks = [order[start : start + _BLOCK] for start in range(0, len(order), _BLOCK)]
    with track(len(order), "images", show=progress) as advance:
        for number, rows in enumerate(blocks):
            block = centred(vectors[rows], mean)  # (b, D + 1)
            within = block @ block.T  # (b, b)
            for row in range(len(rows)):
                if kept[rows[row]] < 0 and row + 1 < len(rows):
                    improve(rows[row + 1 :], rows[row : row + 1], within[row + 1 :, row : row + 1])
            free = kept[rows] < 0
            for later in blocks[number + 1 :] if free.any() else ():
                improve(later, rows[free], centred(vectors[later], mean) @ block[free].T)
            advance(len(rows))
    return _Found(kept, best)


def _groups(
    embeddings: Embeddings, ids: "pa.ChunkedArray", sizes: NDArray[np.int32], found: _Found
) -> tuple[Group, ...]:
    """Return the groups, the largest first."""
    rows = defaultdict[int, list[int]](list)
    for row in np.flatnonzero(found.kept >= 0).tolist():
        rows[int(found.kept[row])].append(row)
    members = [row for kept, others in rows.items() for row in (kept, *others)]
    names = dict(zip(members, ids.take(members).to_pylist() if members else [], strict=True))
    hashes = dict(_hashes(embeddings, set(names.values())))

    groups = []
    for kept, others in rows.items():
        ordered = [kept, *sorted(others, key=lambda row: (-found.similarity[row], row))]
        seen = set[str]()
        members_of = []
        for row in ordered:
            stamp = hashes.get(names[row])
            exact = None if stamp is None else stamp in seen
            seen |= {stamp} if stamp else set()
            similarity = 1.0 if row == kept else min(1.0, float(found.similarity[row]))
            members_of.append(Member(names[row], similarity, exact, *sizes[row].tolist()))
        groups.append(Group(members_of[0], tuple(members_of[1:])))
    return tuple(sorted(groups, key=lambda group: -len(group.others)))


def _hashes(embeddings: Embeddings, names: set[str]) -> Iterator[tuple[str, str]]:
    """Yield names of images with the hash of their bytes, where it is recorded or the image is on this machine."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if ITEMS not in embeddings.records.names() or not names:
        return
    items = Items.from_bytes(embeddings.records.read(ITEMS))
    table = items.table.filter(pc.is_in(items.table["id"], pa.array(sorted(names))))
    recorded = bool(embeddings.settings.get("contents"))
    for item in Items(table).slice(0, len(table)):
        known = recorded or is_uri(os.fsdecode(item.location))
        stamp = item.stamp if known else hashed(item).stamp
        if _HASH.fullmatch(stamp):  # not size and time
            yield item.id, stamp
