"""Features from the files that `maezoo extract` and `maezoo features` write."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ArgumentError, DataError, MissingExtraError
from maezoo.evaluation.features import FeaturesLike, LabelledFeatures
from maezoo.files import parse_json
from maezoo.listing import files_in
from maezoo.paths import user_path

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FeatureTable", "labelled", "read_features", "read_table"]

LabelsFrom = Literal["column", "folder"]

_DAMAGED = (
    OSError, ValueError, LookupError, EOFError, AttributeError, TypeError, RuntimeError, MemoryError,
    SyntaxError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy and zipfile raise on damaged archives, and on those of a kind that they do not read."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """What a file of features holds; labels and ids where it has them.

    Attributes:
        vectors: (n, D) float32.
        labels: (n,), or `None`.
        ids: (n,), or `None`.
        about: how they were made, as far as the file says.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[Any] | None
    ids: NDArray[Any] | None
    about: Mapping[str, Any]


def labelled(data: FeaturesLike) -> LabelledFeatures:
    """Return labelled features of any kind that an evaluation takes.

    Raises:
        DataError: it is no such kind, or `read_features` refuses the file.
    """
    if isinstance(data, LabelledFeatures):
        return data
    if isinstance(data, str | Path):
        return read_features(data)
    if isinstance(data, tuple) and len(data) == 2:
        return LabelledFeatures.of(*data)
    raise DataError(
        f"labelled features are LabelledFeatures.of(X, y), a tuple (X, y), or the path of a file or folder; got "
        f"{type(data).__name__}."
    )


def read_features(path: str | Path, *, labels: LabelsFrom = "column") -> LabelledFeatures:
    """Read labelled features from a folder or file of Parquet, or from an `.npz`.

    Args:
        path: the folder that `maezoo extract` wrote, one Parquet file with `embedding` and `label`, or an `.npz` with
            `features` (n, D) and `label` (n,).
        labels: `"column"` takes the labels stored; `"folder"` takes the name of each image's folder, from `id` (or
            `images` of an `.npz`).

    Returns:
        The features in float32.

    Raises:
        DataError: no such file, another format, a half-finished extraction, no labels, or unusable numbers.
        MissingExtraError: Parquet without pyarrow.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "cats.npz"
        >>> np.savez(path, features=np.ones((2, 4), np.float32), label=np.array(["cat", "dog"]))
        >>> read_features(path).labels.tolist()
        ['cat', 'dog']
    """
    path = user_path(path)
    if labels not in ("column", "folder"):
        raise ArgumentError.for_choice("labels", labels, ("column", "folder"))
    table = read_table(path)
    return LabelledFeatures(table.vectors, _labels(path, table, labels), table.about, table.ids)


def read_table(path: Path) -> FeatureTable:
    """Read features, with labels and ids where there are some.

    Raises:
        DataError, MissingExtraError: as in `read_features`.
    """
    if not path.exists():
        raise DataError.about(path, "does not exist; pass what `maezoo extract` or `maezoo features` wrote.")
    if path.suffix.lower() == ".npz":
        columns, about = _read_npz(path)
    else:
        columns, about = _read_parquet(path), {}
    if "vectors" not in columns:
        raise DataError.about(path, "holds no features: Parquet needs a column 'embedding', .npz an array 'features'.")
    vectors = columns["vectors"]
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise DataError.about(
            path, f"has features of shape {vectors.shape} and type {vectors.dtype}, not (n, D) numbers."
        )
    return FeatureTable(
        vectors.astype(np.float32),
        columns.get("labels"),
        columns["ids"].astype(np.str_) if "ids" in columns else None,
        about or _read_about(path, len(vectors)),
    )


def _labels(path: Path, table: FeatureTable, labels: str) -> NDArray[Any]:
    """Return the labels, stored or from the folders' names."""
    if labels == "folder":
        if table.ids is None:
            raise DataError.about(path, "does not say where its images were; its labels cannot be their folders.")
        return np.array([PurePosixPath(name.replace("\\", "/")).parent.name for name in table.ids.tolist()])
    if table.labels is None:
        raise DataError.about(
            path,
            "has no labels. Extract with `maezoo extract --labels` (the folders' names), or use `--labels folder`.",
        )
    return table.labels


def _read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays of an `.npz` under our names, and what it says of the model and pooling."""
    names = {"features": "vectors", "embedding": "vectors", "label": "labels", "labels": "labels"}
    names |= {"images": "ids", "ids": "ids"}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            columns = {ours: arrays[theirs] for theirs, ours in names.items() if theirs in arrays}
            about = {key: arrays[key].item() for key in ("model", "pool") if key in arrays and not arrays[key].shape}
    except _DAMAGED as error:
        raise DataError.about(path, f"cannot be read as an .npz of plain arrays: {error}.") from error
    return columns, about


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """Read the columns of a Parquet file, or of a folder's shards in order."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "reading Parquet") from error
    files = [file for file in files_in(path, ".parquet") if file.match("part-*")] if path.is_dir() else [path]
    if not files:
        raise DataError.about(path, "holds no part-*.parquet; pass a folder that `maezoo extract` wrote.")
    wanted = {"embedding": "vectors", "label": "labels", "id": "ids"}
    try:
        table = pa.concat_tables([pq.read_table(file) for file in files])
        present = set(table.column_names)  # may be no text
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError.about(path, f"cannot be read as Parquet: {error}.") from error
    return {ours: _column(table, name) for name, ours in wanted.items() if name in present}


def _column(table: "pa.Table", name: str) -> NDArray[Any]:
    """Return a column as an array: (n, D) for embeddings, (n,) for plain values."""
    column = table[name].combine_chunks()
    if column.null_count:
        raise DataError(f"the column {name!r} is empty in {column.null_count} of {len(column)} rows; leave them out.")
    if name != "embedding":
        return np.asarray(column.to_pylist())
    return _rows(column)


def _rows(column: Any) -> NDArray[Any]:
    """Return lists of numbers, all of one length, as an array (n, D)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        widths = sorted(pc.unique(pc.list_value_length(column)).to_pylist())
    except pa.ArrowNotImplementedError as error:
        raise DataError(f"the column 'embedding' holds {column.type}, not lists of numbers.") from error
    if len(widths) > 1:
        raise DataError(
            f"the column 'embedding' holds lists of {widths[0]} to {widths[-1]} numbers, not of one length."
        )
    flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), widths[0] if widths else 0)


def _read_about(path: Path, rows: int) -> dict[str, Any]:
    """Return the settings of the extraction, where a folder has them; refuse one that is not complete."""
    file = path / "__maezoo__" / "extract.json"
    if not file.is_file():
        return {}
    try:
        record = parse_json(file.read_text(encoding="utf-8"))
        settings, counts, complete = dict(record["settings"]), dict(record["counts"]), bool(record["complete"])
        images, extracted = int(counts["images"]), int(counts["rows"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError.about(file, f"is not what `maezoo extract` wrote ({reason}).") from error
    if not complete:
        there = f"{rows:,} rows of {images:,} images are there"
        raise DataError.about(path, f"is a half-finished extraction: {there}. Run the same `maezoo extract` again.")
    if rows != extracted:
        there = f"holds {rows:,} of the {extracted:,} rows that were extracted"
        raise DataError.about(path, f"{there}; files are missing. Run the same `maezoo extract` again to make them.")
    return settings
