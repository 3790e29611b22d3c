"""Features with labels: arrays of a user's own, or what a file holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from maezoo.errors import DataError
from maezoo.notebooks import html_table

__all__ = ["FeaturesLike", "LabelledFeatures", "check_vectors", "examples", "to_vectors"]


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Feature vectors and the label of each. `LabelledFeatures.of` makes them of arrays, lists and tensors.

    Attributes:
        vectors: (n, D) float32, finite.
        labels: (n,) strings or integers.
        about: how they were made (`extract.json`), if known.
        ids: (n,) names of the images, if known. Two equal ids stand for one image.

    Raises:
        DataError: shapes that do not fit, no row, a value that is not finite, or labels that are no classes.

    Example:
        >>> LabelledFeatures(np.zeros((2, 3), np.float32), np.array(["cat", "dog"]))
        LabelledFeatures(2 x 3, 2 classes)
    """

    vectors: NDArray[np.float32]
    labels: NDArray[Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    ids: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Refuse features that no evaluation could use."""
        if not isinstance(self.vectors, np.ndarray) or not isinstance(self.labels, np.ndarray):
            raise DataError("LabelledFeatures holds NumPy arrays; LabelledFeatures.of(X, y) takes lists and tensors.")
        if self.vectors.ndim != 2 or self.labels.shape != (len(self.vectors),) or not len(self.vectors):
            raise DataError(
                f"features are (n, D) and labels (n,) with n of at least 1; got {self.vectors.shape} and "
                f"{self.labels.shape}."
            )
        if self.vectors.dtype != np.float32:
            raise DataError(f"LabelledFeatures holds float32, not {self.vectors.dtype}; LabelledFeatures.of converts.")
        check_vectors(self.vectors)
        _check_labels(self.labels)
        if self.ids is not None and self.ids.shape != self.labels.shape:
            raise DataError(f"ids are (n,), one for each row; got {self.ids.shape} for {len(self)} rows.")

    @classmethod
    def of(
        cls,
        X: ArrayLike | Tensor,
        y: ArrayLike | Tensor,
        ids: ArrayLike | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> "LabelledFeatures":
        """Make labelled features of arrays, lists, tensors or columns.

        Args:
            X: (n, D) numbers.
            y: (n,) classes: text, whole numbers or truth values.
            ids: (n,) names of the images. Equal ids in training and test are refused, as one image in both is.
            about: how they were made, such as `{"model": model.name, "pool": "mean"}`. Features whose records differ
                are not compared.

        Raises:
            DataError: as for the class.

        Example:
            >>> LabelledFeatures.of([[0.1, 0.2], [0.3, 0.4]], ["cat", "dog"]).labels.tolist()
            ['cat', 'dog']
        """
        names = None if ids is None else np.asarray(ids).astype(str)
        return cls(to_vectors(X), _to_labels(y), dict(about or {}), names)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vectors)

    def take(self, rows: NDArray[Any]) -> "LabelledFeatures":
        """Return some rows, by number or by a (n,) bool array.

        Raises:
            DataError: no row.
        """
        return LabelledFeatures(
            self.vectors[rows], self.labels[rows], self.about, None if self.ids is None else self.ids[rows]
        )

    def __repr__(self) -> str:
        made = "".join(f", {self.about[key]}" for key in ("model", "pool") if key in self.about)
        return (
            f"LabelledFeatures({len(self):,} x {self.vectors.shape[1]}, {len(set(self.labels.tolist()))} classes{made})"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("images", f"{len(self):,}"),
            ("width", f"{self.vectors.shape[1]}"),
            ("classes", f"{len(set(self.labels.tolist()))}"),
            *((key, str(self.about[key])) for key in ("model", "pool") if key in self.about),
        ]
        return html_table(rows, title="features")


FeaturesLike: TypeAlias = "LabelledFeatures | tuple[ArrayLike | Tensor, ArrayLike | Tensor] | str | Path"
"""What an evaluation takes: labelled features, `(X, y)`, or the path of a file or folder of them."""


def to_vectors(X: ArrayLike | Tensor) -> NDArray[np.float32]:
    """Return (n, D) numbers as a float32 array on the CPU.

    Raises:
        DataError: they are no numbers, or rows of different length.
    """
    if isinstance(X, Tensor):
        X = X.detach().to("cpu", torch.float32).numpy()
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            return np.asarray(X).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"features are an array (n, D) of numbers; got {type(X).__name__}: {error}.") from error


def check_vectors(vectors: NDArray[np.float32]) -> None:
    """Refuse features with values that are not finite.

    Raises:
        DataError: the message has the first row; so has `index`.
    """
    finite = np.isfinite(vectors).all(axis=-1)
    if not finite.all():
        index = int(np.argmin(finite))
        raise DataError(
            f"the features hold NaN or infinity in {int((~finite).sum()):,} rows, the first is row {index}; leave them "
            "out, or extract them again with dtype='float32'.",
            index=index,
        )


def _to_labels(y: ArrayLike | Tensor) -> NDArray[Any]:
    """Return labels as an array, whole numbers as integers and text as text, whatever held them."""
    labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if labels.dtype == object and labels.ndim == 1 and all(isinstance(label, str) for label in labels):
        return labels.astype(np.str_)
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == labels.round()).all():
        return labels.astype(np.int64)
    return labels


def _check_labels(labels: NDArray[Any]) -> None:
    """Refuse labels that stand for no classes."""
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise DataError("some labels are NaN or infinite; leave those rows out.")
        if (labels != labels.round()).any():
            found = float(labels[labels != labels.round()][0])
            raise DataError(f"labels are classes, text or whole numbers; got {found}. Sort the numbers into classes.")
    if labels.dtype == object:
        if any(map(_is_missing, labels.tolist())):
            raise DataError("some labels are missing (None or NaN); leave those rows out.")
        if len({isinstance(label, str) for label in labels}) > 1:
            raise DataError("labels are text in some rows and numbers in others; make them one or the other.")


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN, or the NA of pandas, whose comparisons are neither true nor false."""
    try:
        return label is None or bool(label != label)
    except TypeError:
        return True


def examples(labels: Iterable[Any]) -> str:
    """Show up to three different labels, text in quotes.

    Example:
        >>> examples(["cat", "cat", "dog", 5, 6])
        "'cat', 'dog', 5 and 1 more"
    """
    different = list(dict.fromkeys(labels))
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return ", ".join(map(repr, different[:3])) + more
