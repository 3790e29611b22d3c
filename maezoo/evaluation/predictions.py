"""What a classifier says of each image."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ArgumentError
from maezoo.evaluation.tables import html_table
from maezoo.files import is_stream, written_whole

__all__ = ["Predictions", "check_table_name"]

_COLUMNS = ("id", "label", "predicted", "probability")
_SHOWN = 10  # rows in a notebook


@dataclass(frozen=True, eq=False)
class Predictions:
    """The label predicted for each image, and how probable each class was.

    Attributes:
        predicted: (n,) labels.
        probabilities: (n, K) float64 in [0, 1], each row's sum is 1. Of kNN they are shares of the votes.
        classes: (K,) labels, in the order of the columns of `probabilities`.
        ids: (n,) names of the images; row numbers where none are known.
        labels: (n,) true labels, or `None`.
    """

    predicted: NDArray[Any]
    probabilities: NDArray[np.float64]
    classes: NDArray[Any]
    ids: NDArray[Any]
    labels: NDArray[Any] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.predicted)

    @property
    def probability(self) -> NDArray[np.float64]:
        """(n,) probability of the label predicted."""
        highest: NDArray[np.float64] = self.probabilities.max(axis=1)
        return highest

    def rows(self) -> list[dict[str, Any]]:
        """Return plain data, one dict for each image: `id`, `label` where known, `predicted`, `probability`."""
        labels = [None] * len(self) if self.labels is None else self.labels.tolist()
        columns = (self.ids.tolist(), labels, self.predicted.tolist(), self.probability.tolist())
        return [dict(zip(_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]

    def save(self, path: str | Path) -> None:
        """Write a CSV file with the columns `id`, `label` (empty where unknown), `predicted` and `probability`.

        Raises:
            ArgumentError: the name does not end in `.csv`.
            OSError: it cannot be written.
        """
        path = check_table_name(Path(path))
        with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for row in self.rows():
                label = "" if row["label"] is None else row["label"]
                writer.writerow((_utf8(row["id"]), _utf8(label), _utf8(row["predicted"]), f"{row['probability']:.6g}"))

    def __repr__(self) -> str:
        return f"Predictions({len(self):,} images, {len(self.classes)} classes)"

    def _repr_html_(self) -> str:
        rows = [
            (*("" if row[name] is None else str(row[name]) for name in _COLUMNS[:3]), f"{row['probability']:.3f}")
            for row in self.rows()[:_SHOWN]
        ]
        more = f" (the first {_SHOWN} of {len(self):,})" if len(self) > _SHOWN else ""
        return html_table(_COLUMNS, rows, caption=f"predictions{more}")


def check_table_name(path: Path) -> Path:
    """Refuse a name of a table that does not end in `.csv`.

    Raises:
        ArgumentError: it ends otherwise.
    """
    if path.suffix.lower() != ".csv" and not is_stream(path):
        raise ArgumentError(f"{path}: predictions are written as CSV; name a file that ends in .csv.", found=str(path))
    return path


def _utf8(value: object) -> str:
    """Escape what UTF-8 cannot hold, as in names of files that are no UTF-8."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
