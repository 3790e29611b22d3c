"""Features with labels, from the files that `maezoo extract` and `maezoo features` write."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ArgumentError, DataError, MissingExtraError
from maezoo.listing import files_in
from maezoo.paths import user_path

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LabelledFeatures", "read_features"]

# What two extractions must share to be compared.
_SAME = ("model", "sha256", "preprocess", "pool", "exact", "normalize")


@dataclass(frozen=True)
class LabelledFeatures:
    """Feature vectors and the label of each.

    Attributes:
        vectors: (n, D) float32, finite.
        labels: (n,) strings or integers.
        about: how they were made (`extract.json`), if known.

    Raises:
        DataError: shapes that do not fit, no row, or a value that is not finite.

    Example:
        >>> len(LabelledFeatures(np.zeros((2, 3), np.float32), np.array(["cat", "dog"])))
        2
    """

    vectors: NDArray[np.float32]
    labels: NDArray[Any]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse features that no evaluation could use."""
        if self.vectors.ndim != 2 or self.labels.shape != (len(self.vectors),) or not len(self.vectors):
            raise DataError(
                f"features are (n, D) and labels (n,) with n of at least 1; got {self.vectors.shape} and "
                f"{self.labels.shape}."
            )
        if not np.isfinite(self.vectors).all():
            raise DataError("the features hold NaN or infinity; extract them again with dtype='float32'.")
        if self.labels.dtype.kind == "f" and not np.isfinite(self.labels).all():
            raise DataError("some labels are NaN or infinite; leave those rows out.")
        if self.labels.dtype == object and len({isinstance(label, str) for label in self.labels}) > 1:
            raise DataError("labels are text in some rows and numbers in others; make them one or the other.")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vectors)

    def check_fits(self, test: "LabelledFeatures") -> None:
        """Refuse test features of another width, from another model, or with labels of which training has none.

        Raises:
            DataError: the message names the difference.
        """
        if self.vectors.shape[1] != test.vectors.shape[1]:
            raise DataError(
                f"training features are {self.vectors.shape[1]} wide, test features {test.vectors.shape[1]}; extract "
                "both with one model and pool."
            )
        if set(self.labels.tolist()).isdisjoint(test.labels.tolist()):
            raise DataError(
                f"no label of the test features is one of training: {_examples(test.labels)}, where training has "
                f"{_examples(self.labels)}. Text and numbers are never equal; take both from one kind of source."
            )
        for key in _SAME:
            ours, theirs = self.about.get(key), test.about.get(key)
            if self.about and test.about and ours != theirs:
                raise DataError(
                    f"training and test features were made with different {key}: {ours!r} and {theirs!r}. Extract both "
                    "with the same settings.",
                    expected=ours,
                    found=theirs,
                )


def _examples(labels: NDArray[Any]) -> str:
    """Show some labels, text in quotes."""
    return ", ".join(map(repr, list(dict.fromkeys(labels.tolist()))[:3]))


def read_features(path: str | Path, *, labels: Literal["column", "folder"] = "column") -> LabelledFeatures:
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
    if not path.exists():
        raise DataError.about(path, "does not exist; pass what `maezoo extract` or `maezoo features` wrote.")
    if labels not in ("column", "folder"):
        raise ArgumentError.for_choice("labels", labels, ("column", "folder"))
    columns = _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    if "vectors" not in columns:
        raise DataError.about(path, "holds no features: Parquet needs a column 'embedding', .npz an array 'features'.")
    vectors = columns["vectors"].astype(np.float32)
    return LabelledFeatures(vectors, _labels(path, columns, labels), _read_about(path, len(vectors)))


def _labels(path: Path, columns: Mapping[str, NDArray[Any]], labels: str) -> NDArray[Any]:
    """Return the labels, stored or from the folders' names."""
    if labels == "folder":
        if "ids" not in columns:
            raise DataError.about(path, "does not say where its images were; its labels cannot be their folders.")
        return np.array([PurePosixPath(str(name).replace("\\", "/")).parent.name for name in columns["ids"]])
    if "labels" not in columns:
        raise DataError.about(
            path,
            "has no labels. Extract with `maezoo extract --labels` (the folders' names), or use `--labels folder`.",
        )
    return columns["labels"]


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an `.npz` under our names."""
    names = {"features": "vectors", "embedding": "vectors", "label": "labels", "labels": "labels", "images": "ids"}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {ours: arrays[theirs] for theirs, ours in names.items() if theirs in arrays}
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError.about(path, f"cannot be read as an .npz of plain arrays: {error}.") from error


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
    except (OSError, pa.ArrowException) as error:
        raise DataError.about(path, f"cannot be read as Parquet: {error}.") from error
    return {ours: _column(table, name) for name, ours in wanted.items() if name in table.column_names}


def _column(table: "pa.Table", name: str) -> NDArray[Any]:
    """Return a column as an array: (n, D) for fixed-size lists, (n,) for plain values."""
    column = table[name].combine_chunks()
    if column.null_count:
        raise DataError(f"the column {name!r} is empty in {column.null_count} of {len(column)} rows; leave them out.")
    if name != "embedding":
        return np.asarray(column.to_pylist())
    flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1) if len(column) else np.empty((0, 0), np.float32)


def _read_about(path: Path, rows: int) -> dict[str, Any]:
    """Return the settings of the extraction, where a folder has them; refuse one that is not complete."""
    file = path / "__maezoo__" / "extract.json"
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        settings, counts, complete = dict(record["settings"]), dict(record["counts"]), bool(record["complete"])
        images, extracted = int(counts["images"]), int(counts["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError.about(file, f"is not what `maezoo extract` wrote: {error!r}.") from error
    if not complete:
        there = f"{rows:,} rows of {images:,} images are there"
        raise DataError.about(path, f"is a half-finished extraction: {there}. Run the same `maezoo extract` again.")
    if rows != extracted:
        there = f"holds {rows:,} of the {extracted:,} rows that were extracted"
        raise DataError.about(path, f"{there}; files are missing. Run the same `maezoo extract` again to make them.")
    return settings
