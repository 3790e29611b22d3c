"""A folder, a list or tar shards become the numbered list of images that an extraction reads."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from maezoo.errors import DataError
from maezoo.extract.arrow import require_pyarrow
from maezoo.extract.items import Item
from maezoo.extract.store import child_uri, is_uri, open_filesystem
from maezoo.extract.tars import is_image, tar_items
from maezoo.files import user_path

__all__ = ["find_items"]

_LISTS = (".txt", ".lst", ".csv", ".tsv")
_PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "filepath", "image_path")


def find_items(source: str | Path, *, labels: bool = False) -> Iterator[Item]:
    """Yield the images of a source in an order that is the same each time.

    Args:
        source: a folder (searched recursively; hidden files left out), a folder of tar shards, one tar shard, a text
            file with one path a line, or a CSV file with a column `path`; a folder may be a URI such as
            `s3://bucket/photos`, and a list may hold URIs.
        labels: take labels: the name of an image's own folder, the column `label`, or the shard's `.cls` files.

    Raises:
        DataError: nothing there, or nothing that can be read as one of these.
        OSError: a folder below cannot be listed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "cats").mkdir()
        >>> (folder / "cats" / "tom.jpg").touch()
        >>> [(item.id, item.label) for item in find_items(folder, labels=True)]
        [('cats/tom.jpg', 'cats')]
    """
    if is_uri(str(source)):
        return _remote_folder(str(source), labels)
    path = user_path(source)
    if path.is_dir():
        tars = sorted(path.glob("*.tar"))
        return _shards(path, tars, labels) if tars else _folder(path, labels)
    if not path.exists():
        raise DataError(f"{path} does not exist; pass a folder, a list (.txt, .csv) or tar shards.")
    if path.suffix.lower() == ".tar":
        return tar_items(path, labels=labels)
    if path.suffix.lower() in _LISTS:
        return _listed(path, labels)
    raise DataError(
        f"{path} is no source: pass a folder of images, a list ({', '.join(_LISTS)}), a .tar shard or a folder of them."
        + (" Compressed tars cannot be read from the middle; unpack them." if ".tar" in path.suffixes else "")
    )


def _shards(folder: Path, tars: list[Path], labels: bool) -> Iterator[Item]:
    """Yield the images of a folder's tar shards, in the order of their names."""
    image = next(_walk(folder, ()), None)
    if image is not None:
        raise DataError(f"{folder} holds tar shards and images ({image}); name a folder that holds one or the other.")
    for tar in tars:
        yield from tar_items(tar, labels=labels)


def _folder(root: Path, labels: bool) -> Iterator[Item]:
    """Yield the images below a folder, sorted by their path."""
    for path in _walk(root, ()):
        relative = path.relative_to(root).as_posix()
        name = os.fsencode(relative).decode("utf-8", "backslashreplace")  # names need not be valid text
        yield Item(name, os.fsencode(path.absolute()), _folder_of(name) if labels else None)


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    """Yield image files below a folder in sorted order; links are followed, circles are not."""
    stat = folder.stat()
    here = (stat.st_dev, stat.st_ino)
    if here in above and stat.st_ino:
        return
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), (*above, here))
        # A broken link is an image that is missed, not one that is not there; pipes and devices would never end.
        elif is_image(entry.name) and (entry.is_file() or entry.is_symlink()):
            yield Path(entry.path)


def _remote_folder(uri: str, labels: bool) -> Iterator[Item]:
    """Yield the images below a folder of cloud storage, sorted by their path."""
    system, root = open_filesystem(uri)
    found = system.get_file_info(require_pyarrow().fs.FileSelector(root, recursive=True))
    for path in sorted(info.path for info in found if info.is_file and is_image(info.base_name)):
        name = path[len(root) :].lstrip("/")
        yield Item(name, child_uri(uri, name).encode(), _folder_of(name) if labels else None)


def _folder_of(name: str) -> str | None:
    """Return the name of the folder that an image is in; `None` at the top."""
    return PurePosixPath(name).parent.name or None


def _listed(path: Path, labels: bool) -> Iterator[Item]:
    """Yield the images that a list names; relative paths start at the list's folder."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from _table(path, text, labels)
        return
    for line in text.splitlines():
        if line.strip():
            yield Item(_text(line.strip()), _located(path.parent, line.strip()))


def _table(path: Path, text: str, labels: bool) -> Iterator[Item]:
    """Yield the images of a CSV or TSV with a header: a path, and an id and a label where there are such columns."""
    reader = csv.DictReader(text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    columns = reader.fieldnames or []
    where = next((name for name in _PATH_COLUMNS if name in columns), None)
    if where is None:
        raise DataError(f"{path} needs a header with a column {_PATH_COLUMNS[0]!r}; it has {', '.join(columns)}.")
    for number, row in enumerate(reader, start=2):
        if not row[where]:
            raise DataError(f"{path}, line {number}: the column {where!r} is empty.")
        label = row.get("label") if labels else None
        name = row.get("id") or row[where]
        yield Item(_text(name), _located(path.parent, row[where]), None if label is None else _text(label))


def _text(name: str) -> str:
    """Return a name as valid text."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _located(folder: Path, name: str) -> bytes:
    """Return the location of a listed file."""
    return name.encode() if is_uri(name) else os.fsencode((folder / name).absolute())
