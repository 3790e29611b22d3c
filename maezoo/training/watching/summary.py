"""A run's folder in a few numbers, whatever state it is in: running, finished, stopped, diverged, half-written."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from maezoo.errors import DataError
from maezoo.paths import user_path
from maezoo.training.watching.records import LOG, NEWEST, STATE, Record, kind_of, read_records, read_state

__all__ = ["RunSummary", "summarise_run"]

_NEWEST = (NEWEST, Path(NEWEST).stem)  # a file; of a run whose weights are shared out, a folder
_ENDS = ("finished", "stopped", "diverged", "failed")


@dataclass(frozen=True)
class RunSummary:
    """The state of a run; `None` for what its log does not say.

    Attributes:
        folder: of the run.
        state: `"running"`, `"finished"`, `"stopped"`, `"diverged"`, `"failed"`, or `"killed"` for a run that says that
            it runs, and does not.
        kind: `"pretrain"` or `"finetune"`.
        model: that is trained.
        step: steps done, as far as they are logged.
        steps: in all.
        views: images shown.
        loss: the latest mean loss.
        best_loss: the lowest mean loss.
        best_step: its step.
        lr: the latest rate.
        gradient_norm: the latest.
        views_per_second: the latest.
        memory_bytes: the most that was held at once.
        seconds: of training.
        seconds_left: at the latest speed; of a running run.
        scores: the first, the latest and the best value of each score of probe or validation, with their steps.
        why: it ended, where it diverged or failed.
        checkpoint: the last good one.
        records: the log.
    """

    folder: str
    state: str
    kind: str | None
    model: str | None
    step: int
    steps: int | None
    views: int | None
    loss: float | None
    best_loss: float | None
    best_step: int | None
    lr: float | None
    gradient_norm: float | None
    views_per_second: float | None
    memory_bytes: int | None
    seconds: float | None
    seconds_left: float | None
    scores: dict[str, dict[str, tuple[int, float]]]
    why: str | None
    checkpoint: str | None
    records: tuple[Record, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON: all but the records."""
        return {key: value for key, value in asdict(self).items() if key != "records"}


def summarise_run(folder: str | Path) -> RunSummary:
    """Read the folder of a run.

    Args:
        folder: that `maezoo pretrain` or `maezoo finetune` writes to; it may be writing still.

    Raises:
        DataError: no such folder, or none of a run.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "log.jsonl").write_text('{"step": 5, "steps": 10, "loss": 0.5}')
        >>> summarise_run(folder).state
        'stopped'
    """
    place = user_path(folder)
    if not place.is_dir():
        raise DataError.about(place, "is not a folder; pass one that `maezoo pretrain` or `maezoo finetune` writes to.")
    state, records = read_state(place), read_records(place / LOG)
    if not records and not any((place / name).exists() for name in (LOG, STATE, *_NEWEST)):
        raise DataError.about(place, "holds no run: neither log.jsonl nor run.json nor a checkpoint.")
    training = [record for record in records if kind_of(record) == "train"]
    last: Record = training[-1] if training else {}
    losses = [(loss, record["step"]) for record in training if (loss := _number(record, "loss")) is not None]
    best_loss, best_step = min(losses, default=(None, None))
    step, steps = max((record["step"] for record in records), default=0), _whole(last, "steps")
    current = _state(place, state, finished=steps is not None and step >= steps)
    speed, views, numbers = _number(last, "views_per_second"), _whole(last, "views"), state.get("numbers")
    left = None
    if current == "running" and speed and views and steps and last["step"]:
        left = (steps - last["step"]) * views / last["step"] / speed
    return RunSummary(
        folder=str(place),
        state=current,
        kind=_text(state, "kind"),
        model=_text(numbers if isinstance(numbers, dict) else {}, "model"),
        step=step,
        steps=steps,
        views=views,
        loss=losses[-1][0] if losses else None,
        best_loss=best_loss,
        best_step=best_step,
        lr=_number(last, "lr"),
        gradient_norm=_number(last, "gradient_norm"),
        views_per_second=speed,
        memory_bytes=_whole(last, "memory_bytes"),
        seconds=_number(last, "seconds"),
        seconds_left=left,
        scores=_scores(records),
        why=_text(state, "why"),
        checkpoint=_checkpoint(place, state),
        records=tuple(records),
    )


def _state(folder: Path, state: dict[str, Any], *, finished: bool) -> str:
    """Return the state of a run: that of `run.json`, unless the run was killed and could not write it."""
    if _is_locked(folder / ".lock"):
        return "running"
    said = state.get("state")
    if said in _ENDS:
        return str(said)
    if finished:
        return "finished"
    return "killed" if said == "running" else "stopped"


def _is_locked(path: Path) -> bool:
    """Tell whether a run holds the folder; where that cannot be told, it does not."""
    if not path.exists():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False


def _scores(records: list[Record]) -> dict[str, dict[str, tuple[int, float]]]:
    """Return the first, the latest and the best value of each score."""
    series: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        for key in record:
            value = _number(record, key)
            if key in _SCORES and value is not None:
                series.setdefault(key, []).append((record["step"], value))
    return {
        key: {"first": points[0], "latest": points[-1], "best": _SCORES[key](points, key=lambda point: point[1])}
        for key, points in series.items()
    }


_SCORES: dict[str, Any] = {
    "probe_knn": max,
    "probe_linear": max,
    "probe_loss": min,
    "val_accuracy": max,
    "val_top5": max,
    "val_loss": min,
}


def _checkpoint(folder: Path, state: dict[str, Any]) -> str | None:
    names = (_text(state, "good"), *_NEWEST)
    return next((str(folder / name) for name in names if name and (folder / name).exists()), None)


def _number(record: Record, key: str) -> float | None:
    value = record.get(key)
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fine and value is not None else None


def _whole(record: Record, key: str) -> int | None:
    value = _number(record, key)
    return None if value is None else int(value)


def _text(data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) else None
