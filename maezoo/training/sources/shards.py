"""Where the images of a run are: names whose braces and stars are expanded, and saved lists of tar shards."""

import glob
import hashlib
import itertools
import logging
import re
import urllib.parse
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from maezoo.errors import ArgumentError, SourceMissingError
from maezoo.extraction.item import Item
from maezoo.extraction.opening import last_name, location_of, stamp_of
from maezoo.extraction.remote import child_uri, download_to, is_uri, is_web, open_filesystem, web_facts
from maezoo.extraction.tars import tar_items
from maezoo.paths import user_path
from maezoo.training.sources.numbered import Numbered
from maezoo.training.sources.retries import patiently

__all__ = ["KeptShards", "spelled_out"]

_log = logging.getLogger(__name__)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000  # names that braces may stand for


def spelled_out(source: str) -> list[str]:
    """Return what braces and stars in a source stand for, in order; a file of that very name is itself.

    Args:
        source: a path or URI, such as `"train-{000..099}.tar"` or `"s3://bucket/train-*.tar"`.

    Raises:
        SourceMissingError: nothing has a name that fits.
        ArgumentError: braces that stand for too many names; stars at a web server, which lists nothing.

    Example:
        >>> spelled_out("s3://b/{train,more}-{08..10}.tar")[1:4]
        ['s3://b/train-09.tar', 's3://b/train-10.tar', 's3://b/more-08.tar']
    """
    if not is_uri(source) and user_path(source).exists():
        return [str(user_path(source))]
    names = _without_braces(source)
    return list(itertools.chain.from_iterable(_without_stars(name) for name in names))


class KeptShards:
    """Lists tar shards, and keeps the lists: a shard that has not changed since is not read again.

    Args:
        folder: where the lists are kept; `None` keeps none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, shard: str | Path, **settings: Any) -> Iterator[Item]:
        """Yield the images of a shard.

        Raises:
            DataError: it is damaged, or holds no image.
            OSError: it cannot be read, however often that is tried.
        """
        found = patiently(lambda: self._listed(shard), str(shard))
        if not len(found):
            raise SourceMissingError.about(shard, "is a shard without an image; write it again, or leave it out.")
        return iter(found)

    def reachable(self, source: str) -> str:
        """Return a source of which parts can be read; a file of a server that sends whole files only is copied.

        Raises:
            DiskFullError: the copy has no room.
        """
        wanted = last_name(source).lower().endswith((".tar", ".parquet"))
        if self._folder is None or not is_web(source) or not wanted:
            return source
        copy = self._folder / f"{_short_hash(source)}-{last_name(source)}"
        if copy.exists():
            return str(copy)
        if patiently(lambda: web_facts(source), source) is not None:
            return source
        _log.warning("%s is copied to %s: the server sends whole files only.", source, copy)
        self._folder.mkdir(parents=True, exist_ok=True)
        patiently(lambda: download_to(source, copy), source)
        return str(copy)

    def _listed(self, shard: str | Path) -> Numbered:
        if self._folder is None:
            return Numbered(tar_items(shard))
        kept, stamp, place = self._folder / f"{_short_hash(str(shard))}.npz", _stamp(shard), location_of(shard)
        found = Numbered.load_shard(kept, place, stamp) if stamp else None
        if found is None:
            found = Numbered(tar_items(shard))
            if stamp:
                found.save_shard(kept, stamp)
        return found


def _stamp(shard: str | Path) -> str:
    """Return the stamp of a shard; empty if there is none: opening it will say why."""
    try:
        return stamp_of(shard)
    except FileNotFoundError:
        return ""


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _without_braces(source: str) -> list[str]:
    """Expand `{a,b}` and `{08..10}`; other braces stay."""
    parts: list[list[str]] = []
    end, count = 0, 1
    for match in _BRACES.finditer(source):
        numbers = _RANGE.fullmatch(match[1])
        if numbers is None and "," not in match[1]:
            continue
        parts.append([source[end : match.start()]])
        count *= int(numbers[2]) - int(numbers[1]) + 1 if numbers else match[1].count(",") + 1
        if not 0 < count <= _MOST:
            raise ArgumentError(f"{source}: {{{match[1]}}} stands for no names, or for more than {_MOST:,} in all.")
        parts.append(_numbers(numbers[1], numbers[2]) if numbers else match[1].split(","))
        end = match.end()
    return ["".join(each) for each in itertools.product(*parts, [source[end:]])]


def _numbers(first: str, last: str) -> list[str]:
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]


def _without_stars(name: str) -> list[str]:
    """Expand the stars of a name."""
    if is_web(name) or not glob.has_magic(name.partition("?")[0] if is_uri(name) else name):
        return [name]
    found = _matching(name) if is_uri(name) else sorted(glob.glob(str(user_path(name)), recursive=True))  # noqa: PTH207
    if not found:
        raise SourceMissingError.about(name, "fits no file; check the name, or put it in quotes.")
    return found


def _matching(uri: str) -> list[str]:
    """Return the URIs of a folder's files that fit a pattern."""
    from maezoo.extraction.arrow import require_pyarrow

    parts = urllib.parse.urlsplit(uri)
    folder, _, pattern = parts.path.rpartition("/")
    if glob.has_magic(parts.netloc + folder):
        raise ArgumentError(f"{uri}: stars may stand in the last part of a URI only.")
    above = urllib.parse.urlunsplit(parts._replace(path=folder or "/"))
    system, root = open_filesystem(above)
    names = [info.base_name for info in system.get_file_info(require_pyarrow().fs.FileSelector(root)) if info.is_file]
    return [child_uri(above, name) for name in sorted(names) if fnmatch(name, pattern)]
