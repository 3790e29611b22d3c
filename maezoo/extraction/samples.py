"""Samples of tar shards, in webdataset's sense: what the members next to an image say of it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maezoo.errors import DataError
from maezoo.extraction.columns import Columns, Json, clean, missing_column
from maezoo.files import parse_json

__all__ = ["Facts", "Sample", "filled_columns"]


class Sample:
    """The text members of one sample; its columns are their endings, and the keys of its `.json` member."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, ending: str, text: str, name: str) -> None:
        """Add a member.

        Args:
            ending: of its name, without the dot.
            text: its text.
            name: what errors call it.

        Raises:
            DataError: a `.json` member that is no object of JSON.
        """
        if ending != "json":
            self.values[ending] = text
            return
        try:
            data = parse_json(text)
        except ValueError as error:
            raise DataError.about(name, f"is no JSON: {error}.") from error
        if not isinstance(data, dict):
            raise DataError.about(name, f"holds {type(data).__name__} where a JSON object with keys is needed.")
        self.values = {"json": data, **data, **{key: self.values[key] for key in self.values if key != "json"}}

    def text(self, column: str) -> str | None:
        """Return a column as text; `None` if the sample does not have it."""
        value = self.values.get(column)
        return None if value is None else clean(value if isinstance(value, str) else json.dumps(value))


class Facts(NamedTuple):
    """What is taken of a sample; an empty `id` is none."""

    id: str
    label: str | None
    kept: tuple[Json | None, ...]


def filled_columns(path: str | Path, samples: Sequence[Sample], labels: bool, columns: Columns) -> Iterator[Facts]:
    """Yield id, label and kept columns of the samples of a shard.

    Raises:
        DataError: no sample has one of the columns, or one has no id.
    """
    known = dict.fromkeys(name for sample in samples for name in sample.values)
    label = (
        (columns.label or next((name for name in ("cls", "label", "txt") if name in known), None)) if labels else None
    )
    for name in (columns.id, columns.label, *columns.keep):
        if name is not None and name not in known and samples:
            raise missing_column(path, name, known, what="key in its .json members, and no member ending in")
    for number, sample in enumerate(samples):
        id = "" if columns.id is None else sample.text(columns.id) or ""
        if columns.id is not None and not id:
            raise DataError(f"{path}: image {number} has no {columns.id!r}, which was to be its id.", index=number)
        yield Facts(
            id, None if label is None else sample.text(label), tuple(_json(sample, name) for name in columns.keep)
        )


def _json(sample: Sample, column: str) -> Json | None:
    value = sample.values.get(column)
    return None if value is None else Json(clean(json.dumps(value, ensure_ascii=False)))
