"""What became of every key of a file of weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maezoo.notebooks import html_table
from maezoo.vocabulary import Layout

__all__ = ["LoadReport"]

_ROWS = 50  # of the table in a notebook


@dataclass(frozen=True)
class LoadReport:
    """What became of every key of a file.

    Attributes:
        path: the file.
        layout: its key layout.
        loaded: our keys that were filled, in the model's order.
        renamed: of those, the ones the file calls otherwise, with the file's names.
        dropped: the file's keys that were not used, each left out on purpose.
        adapted: our keys whose tensors were changed to fit, and how.
        norm_epsilon: the LayerNorm epsilon that was taken over from the file's configuration; `None` if none was.
        taken: the prefix of the state dict that was read, such as `"model_ema"`; empty where the names have none.
        others: the other state dicts in the file.
    """

    path: Path
    layout: Layout
    loaded: tuple[str, ...]
    renamed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    adapted: Mapping[str, str] = field(default_factory=dict)
    norm_epsilon: float | None = None
    taken: str = ""
    others: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say it in one line; the attributes list the keys."""
        return f"LoadReport({self})"

    def _repr_html_(self) -> str:
        """Show in notebooks what was not loaded as it is in the file."""
        rows = [
            *((ours, "renamed from " + ", ".join(theirs)) for ours, theirs in self.renamed.items()),
            *((ours, f"adapted: {how}") for ours, how in self.adapted.items()),
            *((theirs, "dropped") for theirs in self.dropped),
        ]
        more = f"… and {len(rows) - _ROWS} more" if len(rows) > _ROWS else ""
        return html_table(rows[:_ROWS], title=str(self), below=more)

    def __str__(self) -> str:
        """Say it in one line."""
        choice = f" of {self.taken!r}" if self.taken else ""
        others = f" (not of {', '.join(map(repr, self.others))})" if self.others else ""
        return (
            f"{self.path.name}: {len(self.loaded)} tensors{choice}{others} loaded from the {self.layout} layout, "
            f"{len(self.renamed)} renamed, {len(self.adapted)} adapted, {len(self.dropped)} dropped"
        )
