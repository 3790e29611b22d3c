"""The options of training commands that watch a run, and what they say when it is stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.paths import user_path

if TYPE_CHECKING:
    from maezoo.training import Watch

__all__ = ["Log", "Pictures", "Probe", "ProbeEvery", "ResumeFrom", "start_of", "stopped", "watch_of"]

Log = Annotated[
    list[str] | None, typer.Option("--log", help="Also write to tensorboard, trackio or wandb; may be repeated.")
]
Pictures = Annotated[
    int, typer.Option(min=0, metavar="STEPS", help="Steps between pictures of reconstructions; 0: none.")
]
Probe = Annotated[
    tuple[str, str] | None,
    typer.Option(help="Labelled folders: kNN and a linear probe fitted on the first, tested on the second."),
]
ProbeEvery = Annotated[int | None, typer.Option(min=1, metavar="STEPS", help="Steps between probes. [a tenth of all]")]
ResumeFrom = Annotated[
    str | None,
    typer.Option(help="A checkpoint to continue with these numbers: its file, its run, or a step of this run."),
]


def watch_of(
    log: list[str] | None, pictures: int = 0, probe: tuple[str, str] | None = None, probe_every: int | None = None
) -> "Watch":
    """Return what a command is asked to watch."""
    from maezoo.training import Watch

    sinks: Any = tuple(dict.fromkeys(log or ()))  # its words are checked where it is opened
    return Watch(sinks, pictures, probe, probe_every)


def start_of(resume_from: str | None) -> Path | int | None:
    """Read what `--resume-from` says: a number is a step, all else a path.

    Example:
        >>> start_of("1200"), start_of("./1200").name
        (1200, '1200')
    """
    if resume_from is None:
        return None
    return int(resume_from) if resume_from.isdecimal() and resume_from.isascii() else user_path(resume_from)


def stopped(output: Path) -> str:
    """Say whether a run that was stopped has a checkpoint.

    Example:
        >>> stopped(Path("nowhere"))
        'Stopped before the first checkpoint; to begin again,'
    """
    from maezoo.training.keeping import find_newest

    if find_newest(user_path(output)) is None:
        return "Stopped before the first checkpoint; to begin again,"
    return "Stopped. A checkpoint is kept; to continue,"
