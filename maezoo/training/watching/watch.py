"""What is watched in a run, and what is done for it between steps."""

import copy
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from maezoo.api.mae import MAE
from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import MaskedAutoencoder
from maezoo.training.processes.division import Division
from maezoo.training.watching.journal import Journal
from maezoo.training.watching.pictures import COUNT, write_picture
from maezoo.training.watching.probing import Probing, open_probe
from maezoo.training.watching.sinks import SinkName, check_sinks

__all__ = ["Subject", "Watch", "Watcher"]

_PROBES = 10  # in a run, where no number of steps is given
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """What is watched in a run, besides `log.jsonl`. The trained weights do not depend on it.

    Attributes:
        log: where else the numbers go: `"tensorboard"`, `"trackio"`, `"wandb"`.
        pictures: steps between pictures of reconstructions, in the run's folder `pictures`; 0 for none.
        probe: labelled images to fit on and others to test, on which the weights are judged by kNN and a linear probe:
            folders of class folders, or what else `open_labelled` takes.
        probe_every: steps between probes; `None` for ten of them. The first and the last step have one in any case.

    Raises:
        ArgumentError: an unknown word, or a negative number.
    """

    log: tuple[SinkName, ...] = ()
    pictures: int = 0
    probe: tuple[str | Path, str | Path] | None = None
    probe_every: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        whole_number(self.pictures, "pictures", 0, what="a number of steps, 0 for none")
        if self.probe_every is not None:
            whole_number(self.probe_every, "probe_every", what="a number of steps")

    def open(self) -> Probing | None:
        """Check that all of it is there, before any work is done; return the probe.

        Raises:
            ArgumentError: an unknown word.
            MissingExtraError: a library is not installed.
            DataError: labelled images that cannot be used.
        """
        check_sinks(self.log)
        return open_probe(*self.probe) if self.probe else None

    def check(self, division: Division) -> None:
        """Refuse to watch weights that no process has all of.

        Raises:
            ArgumentError: pictures or probes of weights that are shared out.
        """
        if division.sharded and (self.pictures or self.probe):
            raise ArgumentError("pictures and probes need all weights in one process: pass parallel='ddp'.")


@dataclass(frozen=True)
class Subject:
    """The autoencoder that is watched.

    Attributes:
        model: as it is trained.
        weights: gives the parameters that would be kept now, by the model's names.
        preprocess: how images become its input.
        images: gives some training images (n, C, H, W), normalised.
        mask_ratio: share of patches hidden.
        steps: of the run.
        batch_size: images in a step.
        paused: called with the seconds that watching took.
    """

    model: MaskedAutoencoder
    weights: Callable[[], Mapping[str, Tensor]]
    preprocess: Preprocessing
    images: Callable[[int], Tensor]
    mask_ratio: float
    steps: int
    batch_size: int
    paused: Callable[[float], None]


class Watcher:
    """Makes pictures and probes of the weights that would be kept, at the steps that are due.

    Args:
        watch: what is asked for.
        probing: that of `watch.open()`.
        subject: what is watched.
        journal: gets what is found.
    """

    def __init__(self, watch: Watch, probing: Probing | None, subject: Subject, journal: Journal) -> None:
        self._pictures, self._probing = watch.pictures, probing
        self._subject, self._journal = subject, journal
        self._probes = watch.probe_every or max(1, subject.steps // _PROBES)
        self._images: Tensor | None = None
        self._copy: MAE | None = None

    def after_step(self, done: int) -> None:
        """Do what is due after some steps; 0 is before the first."""
        probe = self._probing is not None and self._due(done, self._probes) and not self._journal.has(done, "probe")
        path = self._journal.folder / "pictures" / f"step-{done:08}.png"
        picture = self._pictures > 0 and self._due(done, self._pictures)
        if 0 < done <= self._journal.done and path.exists():  # resumed at a step that has its picture
            picture = False
        if not probe and not picture:
            return
        began = time.monotonic()
        model = self._model()
        if probe and self._probing is not None:
            found = self._probing.measure(model, self._subject.mask_ratio)
            self._journal.write({"step": done, "views": done * self._subject.batch_size, **found})
        if picture:
            if self._images is None:
                self._images = self._fixed_images(model)
            write_picture(model, self._images, self._subject.mask_ratio, path)
            self._journal.show(done, path)
        self._subject.paused(time.monotonic() - began)

    def _due(self, done: int, every: int) -> bool:
        return done % every == 0 or done == self._subject.steps

    def _fixed_images(self, model: MAE) -> Tensor:
        """Return the images of all pictures: held-out ones where there are some."""
        return self._subject.images(COUNT) if self._probing is None else self._probing.pixels(model, COUNT)

    @torch.no_grad()
    def _model(self) -> MAE:
        """Return a copy of the model, with the weights that would be kept now."""
        subject = self._subject
        if self._copy is None:
            model = subject.model
            encoder, decoder = copy.deepcopy((model.encoder, model.decoder))
            made = MAE(encoder, decoder, preprocess=subject.preprocess, target=model.target, facts=model.facts)
            self._copy = made.eval().requires_grad_(False)
        weights = subject.weights()
        for name, parameter in self._copy.named_parameters():
            if name in weights:  # what is not trained is as it was copied
                parameter.copy_(weights[name])
        return self._copy
