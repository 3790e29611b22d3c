"""The records of a run's log, read even where lines are damaged, and `run.json`, which holds the run's state."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from maezoo.files import written_whole

__all__ = ["LOG", "NEWEST", "STATE", "Record", "kind_of", "named_values", "read_records", "read_state", "write_records"]

LOG, STATE, NEWEST = "log.jsonl", "run.json", "checkpoint.safetensors"
Record: TypeAlias = dict[str, Any]

_log = logging.getLogger(__name__)
_COUNTS = frozenset({"step", "steps", "views", "epoch"})  # the position of a record, not a measurement


def read_records(path: Path) -> list[Record]:
    """Read the records of a log; a line that is damaged costs itself alone.

    Args:
        path: of the log; none is as an empty one.

    Returns:
        Those with a step, in the order of the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "log.jsonl"
        >>> _ = path.write_text('{"step": 1, "loss": 0.5}' + chr(10) + '{"step": 2, "lo')
        >>> read_records(path)
        [{'step': 1, 'loss': 0.5}]
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = [_parsed(line) for line in lines if line.strip()]
    records = [record for record in found if record is not None]
    if len(records) < len(found):
        _log.info("%s: %d of %d lines are damaged and left out", path, len(found) - len(records), len(found))
    return records


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Replace a log.

    Raises:
        DiskFullError: no room for it; the old one stays.
    """
    with written_whole(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def read_state(folder: Path) -> dict[str, Any]:
    """Return what `run.json` says; nothing where there is none that can be read."""
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def kind_of(record: Record) -> str:
    """Return what a record is of: `"train"`, `"val"` or `"probe"`.

    Example:
        >>> kind_of({"step": 5, "probe_knn": 0.5}), kind_of({"step": 5, "loss": 0.1})
        ('probe', 'train')
    """
    return next((kind for kind in ("probe", "val") if any(key.startswith(f"{kind}_") for key in record)), "train")


def named_values(record: Record) -> dict[str, float]:
    """Return the numbers of a record, named as dashboards group them.

    Example:
        >>> named_values({"step": 5, "views": 10, "probe_knn": 0.5})
        {'probe/knn': 0.5}
    """
    kind = kind_of(record)
    return {
        f"{kind}/{key.removeprefix(f'{kind}_')}": float(value)
        for key, value in record.items()
        if key not in _COUNTS and isinstance(value, int | float) and not isinstance(value, bool)
    }


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    if not isinstance(record, dict) or type(record.get("step")) is not int or record["step"] < 0:
        return None
    return record
