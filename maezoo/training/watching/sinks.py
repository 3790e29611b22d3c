"""Where the records of a run go besides its log: TensorBoard, Trackio, Weights & Biases, by their own libraries.

Their own environment variables apply (`TRACKIO_DIR`, `TRACKIO_SPACE_ID`, `WANDB_MODE`, `WANDB_PROJECT`, …).
"""

import contextlib
import contextvars
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from PIL import Image

from maezoo.errors import ArgumentError, MissingExtraError, SettingError

__all__ = ["SINKS", "Sink", "SinkName", "Start", "check_sinks", "open_sink"]

SinkName = Literal["tensorboard", "trackio", "wandb"]
SINKS: tuple[SinkName, ...] = get_args(SinkName)
_PROJECT = "maezoo"  # where the libraries' own variables name none
_PICTURE = "reconstructions"


@dataclass(frozen=True)
class Start:
    """How a run begins or is resumed.

    Attributes:
        folder: of the run.
        id: of the run, the same when it is resumed.
        done: steps done before.
        told: the last step that was sent before; above `done` after a run that was killed.
        config: its numbers.
    """

    folder: Path
    id: str
    done: int
    told: int
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name among others."""
        return f"{self.folder.resolve().name}-{self.id}"


class Sink(Protocol):
    """What takes the numbers and pictures of a run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step."""

    def show(self, step: int, picture: Path) -> None:
        """Take a picture."""

    def close(self) -> None:
        """Send or write what is left."""


def check_sinks(names: Sequence[str]) -> None:
    """Refuse sinks that cannot be opened, before any work is done.

    Raises:
        ArgumentError: a word that is none of them.
        MissingExtraError: its library is not installed.
    """
    for name in names:
        if name not in SINKS:
            raise ArgumentError.for_choice("log", name, SINKS)
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError.for_extra(name, f"--log {name}") from error


def open_sink(name: SinkName, start: Start) -> Sink:
    """Open a sink, so that a resumed run continues its own curve.

    Raises:
        SettingError: the library refuses to begin, as where it has no account to send to.
    """
    sinks: dict[SinkName, Callable[[Start], Sink]] = {
        "tensorboard": _TensorBoard,
        "trackio": _open_trackio,
        "wandb": _open_wandb,
    }
    return sinks[name](start)


class _TensorBoard:
    """Event files in the run's folder; what a resumed run does again is taken out of the curve."""

    def __init__(self, start: Start) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = start.folder / "tensorboard"
        again = start.done + 1 if start.done else 0  # steps from here on are done again
        opened: Any = SummaryWriter
        self._writer = opened(str(folder), purge_step=again if folder.exists() else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def show(self, step: int, picture: Path) -> None:
        """Write a picture."""
        with Image.open(picture) as image:
            self._writer.add_image(_PICTURE, np.asarray(image.convert("RGB")), step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class _Dashboard:
    """A run of Trackio or Weights & Biases, whose runs have the same methods."""

    def __init__(self, run: Any, image: Any, told: int) -> None:
        self._run, self._image, self._told = run, image, told

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step that was not sent before."""
        if step > self._told:
            self._run.log(dict(values), step=step)

    def show(self, step: int, picture: Path) -> None:
        """Write a picture."""
        if step > self._told:
            self._run.log({_PICTURE: self._image(str(picture))}, step=step)

    def close(self) -> None:
        """Write what is left."""
        with contextlib.redirect_stdout(sys.stderr):  # Trackio prints
            self._run.finish()


def _open_trackio(start: Start) -> _Dashboard:
    """Open a run in Trackio's local database, or in the Space that its variables name."""
    import trackio

    options: dict[str, Any] = {"name": start.name, "resume": "allow", "config": dict(start.config), "embed": False}
    with contextlib.redirect_stdout(sys.stderr):  # it prints
        # In a context of its own, so that a run of the caller's stays the current one.
        run = contextvars.Context().run(lambda: trackio.init(_PROJECT, **options))
    return _Dashboard(run, trackio.Image, start.told)


def _open_wandb(start: Start) -> _Dashboard:
    """Open a run of Weights & Biases; its files stand in the run's folder, unless `WANDB_DIR` names another."""
    import wandb

    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=os.environ.get("WANDB_NAME", start.name),
            id=os.environ.get("WANDB_RUN_ID", start.id),
            dir=os.environ.get("WANDB_DIR", str(start.folder)),
            config=dict(start.config),
            resume="allow",
            reinit="create_new",  # a run of the caller's stays the current one
            settings=wandb.Settings(console="off", silent=True),
        )
    except wandb.Error as error:
        raise SettingError(
            f"wandb does not begin: {error}. Log in with `wandb login`, or set WANDB_MODE=offline.",
            reason=str(error),
            command="wandb login",
        ) from error
    return _Dashboard(run, wandb.Image, start.told)
