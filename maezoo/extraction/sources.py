"""A folder, a list or tar shards become the numbered list of images that an extraction reads."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath

from maezoo.errors import DataError, SourceMissingError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.columns import Columns
from maezoo.extraction.item import Item
from maezoo.extraction.lists import LIST_SUFFIXES, listed_items, printable
from maezoo.extraction.opening import last_name
from maezoo.extraction.parquet_lists import parquet_items
from maezoo.extraction.remote import child_uri, is_uri, is_web, open_filesystem
from maezoo.extraction.tars import tar_items
from maezoo.images.preprocessing import Preprocessing
from maezoo.listing import (
    IMAGE_SUFFIXES,
    RASTER_SUFFIXES,
    SOUND_SUFFIXES,
    TEXT_SUFFIXES,
    counts,
    endings_in,
    files_in,
    image_files,
    is_hidden,
)
from maezoo.paths import user_path

__all__ = ["ShardLister", "file_endings", "find_items", "nothing_found"]

ShardLister = Callable[..., Iterator[Item]]
"""Lists a tar shard as `tar_items` does."""

_NO_COLUMNS = "it is a folder of images; name them in a .csv or .parquet with these columns."


def find_items(
    source: str | Path,
    *,
    labels: bool = False,
    columns: Columns | None = None,
    endings: frozenset[str] | None = None,
    shard: ShardLister = tar_items,
) -> Iterator[Item]:
    """Yield the images of a source in an order that is the same each time.

    That the source exists, and that a list has the columns, is checked at once; the rest when the first item is asked
    for.

    Args:
        source: a folder (searched recursively; hidden files left out), a folder of tar shards or of Parquet files, one
            of these, a text file with one path a line, or a CSV file with a column `path`. A folder, a tar shard or a
            Parquet file may be a URI such as `s3://bucket/photos`; a list may hold URIs and URLs.
        labels: take labels: the name of an image's own folder, the column `label`, or the shard's `.cls` files.
        columns: those that the user has named.
        shard: lists one tar shard; another than `tar_items` may keep its lists.
        endings: of the files of a folder or a tar shard that count; those of images when `None`.

    Raises:
        SourceMissingError: nothing there.
        DataError: nothing that can be read as one of these, a column that is missing, an id that occurs twice, or
            labels that no image has.
        OSError: a folder cannot be listed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "cats").mkdir()
        >>> (folder / "cats" / "tom.jpg").touch()
        >>> [(item.id, item.label) for item in find_items(folder, labels=True)]
        [('cats/tom.jpg', 'cats')]
    """
    shard = shard if endings is None else partial(shard, endings=endings)
    items = _items(str(source), labels, columns or Columns(), endings, shard)
    return _labelled(str(source), items) if labels else items


def file_endings(preprocess: Preprocessing) -> frozenset[str] | None:
    """Return the endings of the files that a model reads; `None` for those of images.

    Example:
        >>> ".wav" in file_endings(Preprocessing((1024, 128), kind="sound")), file_endings(Preprocessing((96, 96)))
        (True, None)
    """
    if preprocess.kind == "sound":
        return SOUND_SUFFIXES
    if preprocess.kind == "text":
        return TEXT_SUFFIXES
    return None if preprocess.bands is None else RASTER_SUFFIXES


def nothing_found(source: str, expected: frozenset[str] | None = None) -> SourceMissingError:
    """Return the error for a source without an image; it counts the files that were skipped, by their endings.

    Args:
        source: the source.
        expected: endings of the files that count; those of images when `None`.
    """
    names = ", ".join(sorted(expected or IMAGE_SUFFIXES))
    path = user_path(source)
    message = f"no image was found in {source}."
    endings: Counter[str] = Counter()
    if not is_uri(source) and path.is_dir():
        endings = endings_in(path)
        named = [
            f"{ending or 'no ending'}: {count:,} file{'s'[: count != 1]}" for ending, count in endings.most_common(8)
        ]
        more = f" and {len(endings) - 8} more endings" if len(endings) > 8 else ""
        message += f" Skipped: {', '.join(named)}{more}." if named else " It holds no files."
        message += f" Images end in {names}." if expected is None else f" This model reads files that end in {names}."
    elif not is_uri(source):
        members = "as an image does" if expected is None else f"in {names}"
        message += " It names no image." if path.suffix.lower() != ".tar" else f" No member ends {members}."
    return SourceMissingError(
        message, path=source, expected=tuple(sorted(expected or IMAGE_SUFFIXES)), found=dict(endings)
    )


def _items(
    source: str, labels: bool, columns: Columns, endings: frozenset[str] | None, shard: ShardLister
) -> Iterator[Item]:
    """Return the images of any source."""
    if is_uri(source) and not source.lower().startswith("file:"):
        return _remote(source, labels, columns, endings, shard)
    path = Path(open_filesystem(source)[1]) if is_uri(source) else user_path(source)
    if path.is_dir():
        return _in_folder(path, labels, columns, endings, shard)
    if not path.exists():
        raise SourceMissingError.about(
            path, "does not exist; pass a folder, a list (.txt, .csv, .parquet) or tar shards."
        )
    suffix = path.suffix.lower()
    if path.is_file():
        if suffix == ".tar":
            return shard(path, labels=labels, columns=columns)
        if suffix == ".parquet":
            return parquet_items([path], labels=labels, columns=columns)
        if suffix in LIST_SUFFIXES:
            return listed_items(path, labels=labels, columns=columns)
    raise DataError(
        f"{path} is no source: pass a folder of images, a list ({', '.join(LIST_SUFFIXES)}, .parquet), a .tar shard or "
        "a folder of them."
        + (" Compressed tars cannot be read from the middle; unpack them." if ".tar" in path.suffixes else ""),
        path=path,
    )


def _in_folder(
    path: Path, labels: bool, columns: Columns, endings: frozenset[str] | None, shard: ShardLister
) -> Iterator[Item]:
    """Return the images of a folder of tar shards, of Parquet files that hold or name them, or of images."""
    if tars := files_in(path, ".tar"):
        return _shards(path, tars, labels, columns, endings, shard)
    tables = files_in(path, ".parquet")
    if tables and next(image_files(path, endings), None) is None:
        return parquet_items(tables, labels=labels, columns=columns)
    columns.refuse(path, _NO_COLUMNS)
    return _folder(path, labels, endings)


def _labelled(source: str, items: Iterator[Item]) -> Iterator[Item]:
    """Yield items; refuse a source in which none has a label, as the user expects them."""
    images = labelled = 0
    for item in items:
        images += 1
        labelled += item.label is not None
        yield item
    if images and not labelled:
        raise DataError(
            f"labels were asked for, and none of the {images:,} images of {source} has one: in a folder they are the "
            "names of the folders in it, in a tar shard the .cls files."
        )


def _shards(
    folder: Path, tars: list[Path], labels: bool, columns: Columns, endings: frozenset[str] | None, shard: ShardLister
) -> Iterator[Item]:
    """Yield the images of a folder's tar shards, in the order of their names."""
    image = next(image_files(folder, endings), None)
    if image is not None:
        raise DataError.about(
            folder, f"holds tar shards and images ({image}); name a folder that holds one or the other."
        )
    yield from chain.from_iterable(shard(tar, labels=labels, columns=columns) for tar in tars)


def _folder(root: Path, labels: bool, endings: frozenset[str] | None) -> Iterator[Item]:
    """Yield the images below a folder, sorted by their path."""
    for path in image_files(root, endings):
        name = printable(path.relative_to(root).as_posix())
        yield Item(name, os.fsencode(path.absolute()), _folder_of(name) if labels else None)


def _remote(
    uri: str, labels: bool, columns: Columns, endings: frozenset[str] | None, shard: ShardLister
) -> Iterator[Item]:
    """Return the images of a tar shard, a Parquet file or a folder at a URI."""
    suffix = PurePosixPath(last_name(uri)).suffix.lower()
    if suffix == ".tar":
        return shard(uri, labels=labels, columns=columns)
    if suffix == ".parquet":
        return parquet_items([uri], labels=labels, columns=columns)
    if is_web(uri):
        raise DataError(
            f"{uri}: a web server does not list its folders; write the images' URLs into a .txt or .csv.", url=uri
        )
    return _remote_folder(uri, labels, columns, endings, shard)


def _remote_folder(
    uri: str, labels: bool, columns: Columns, endings: frozenset[str] | None, shard: ShardLister
) -> Iterator[Item]:
    """Yield the images below a folder of cloud storage, or those of the shards in it; hidden ones are left out."""
    system, root = open_filesystem(uri)
    try:
        found = system.get_file_info(require_pyarrow().fs.FileSelector(root, recursive=True))
    except NotADirectoryError as error:
        raise DataError(
            f"{uri} is a file; a source on cloud storage is a folder of images, a .tar shard or a .parquet file.",
            url=uri,
        ) from error
    names = {info.path[len(root) :].lstrip("/"): info for info in found if info.is_file}
    names = {name: names[name] for name in sorted(names, key=lambda name: names[name].path) if not is_hidden(name)}
    images = {name: info for name, info in names.items() if counts(info.base_name, endings)}
    top = [child_uri(uri, name) for name in names if "/" not in name]
    tars, tables = ([each for each in top if last_name(each).lower().endswith(end)] for end in (".tar", ".parquet"))
    if tars and images:
        raise DataError(f"{uri} holds tar shards and images ({next(iter(images))}); name one or the other.", url=uri)
    if tars:
        yield from chain.from_iterable(shard(tar, labels=labels, columns=columns) for tar in tars)
        return
    if tables and not images:
        yield from parquet_items(tables, labels=labels, columns=columns)
        return
    columns.refuse(uri, _NO_COLUMNS)
    for name, info in images.items():
        stamp = f"{info.size} {info.mtime_ns}"
        yield Item(name, child_uri(uri, name).encode(), _folder_of(name) if labels else None, stamp=stamp)


def _folder_of(name: str) -> str | None:
    """Return the name of the folder that an image is in; `None` at the top."""
    return PurePosixPath(name).parent.name or None
