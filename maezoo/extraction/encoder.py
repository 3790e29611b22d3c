"""The model of a run: made, known by the hash of its weights, and put on the engine that the output began with."""

import copy
import hashlib
import logging
from pathlib import Path

import torch

from maezoo.api.factory import create
from maezoo.api.image_methods import ImageMethods
from maezoo.api.optimized import OptimizedMAE, optimize, optimize_for
from maezoo.errors import ArgumentError, MaezooError
from maezoo.extraction.job import Job
from maezoo.hardware import choose_device
from maezoo.hashes import sha256_of
from maezoo.images.fields import takes_pictures

__all__ = ["check_movable", "open_encoder", "prepared", "used_weights"]

_log = logging.getLogger(__name__)


def check_movable(model: str | ImageMethods) -> None:
    """Refuse a model that Ray's actors cannot move to their devices.

    Raises:
        ArgumentError: an optimised model.
    """
    if isinstance(model, OptimizedMAE):
        raise ArgumentError(
            "Ray's actors move the model, and an optimised one cannot be moved; pass the model that it was made from."
        )


def open_encoder(
    model: str | ImageMethods, device: str | torch.device, precision: torch.dtype | str | None, *, ray: bool
) -> ImageMethods:
    """Create the named model without its decoder; a model that is given is used as it is.

    Ray's actors move the model: for them it is created on the CPU, and a given one is copied there.

    Raises:
        ArgumentError: a model of inputs that no file holds.
    """
    if isinstance(model, ImageMethods):
        encoder = copy.deepcopy(model).cpu() if ray else model
    else:
        where = torch.device("cpu") if ray else choose_device(device)
        encoder = create(model, pretrained=True, device=where, dtype=precision, decoder=False)
    _check_input(encoder)
    return encoder


def _check_input(encoder: ImageMethods) -> None:
    """Refuse models whose input is not in files that an extraction reads."""
    preprocess, channels = encoder.preprocess, encoder.in_chans
    if takes_pictures(preprocess, channels) and channels == 3:
        return
    if preprocess.kind == "text":
        raise ArgumentError(
            f"extraction reads files of pictures, bands and sounds; {encoder.name} reads texts: pass them to "
            "model.features([…]), or their .txt files to `maezoo features`.",
            command="maezoo features",
        )
    if preprocess.kind == "picture" and preprocess.bands is None:
        raise ArgumentError(
            f"extraction reads RGB images, files of named bands and sounds; {encoder.name} takes {channels} channels, "
            "and nothing says which.",
            expected=3,
        )


def used_weights(model: ImageMethods, *, given: bool) -> str:
    """Return the sha256 of the weights' file, or `tensors:` and that of the encoder's tensors.

    Args:
        model: the model.
        given: the caller made it, and may have trained it since it was loaded.
    """
    report = model.load_report
    if (
        model.entry is not None
        and report is not None
        and (not given or _is_as_loaded(model, model.entry.name, report.path))
    ):
        return model.entry.sha256 or sha256_of(report.path)
    digest = hashlib.sha256()
    for name, tensor in model.encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return f"tensors:{digest.hexdigest()}"


def prepared(model: ImageMethods, job: Job, images: int, batch_size: int) -> ImageMethods:
    """Return the model on the engine that the output was begun with; for a new output, choose one.

    Engines agree to about 1e-6, not to the bit, so one output is made by one of them.

    Args:
        model: the encoder.
        job: its record keeps the engine's name.
        images: how many are missing.
        batch_size: how many come at a time.
    """
    begun_with = job.record.get("engine")
    if isinstance(model, OptimizedMAE) or begun_with is None:
        fast = (
            model if isinstance(model, OptimizedMAE) else optimize_for(model, "features", images, batch_size=batch_size)
        )
        engine = _engine_of(fast, batch_size)
        if begun_with not in (None, engine):
            _log.warning(
                "this output was begun on the engine %s; the model given continues with %s.", begun_with, engine
            )
        job.keep_engine(engine)
        return fast
    if begun_with == "eager":
        return model
    try:
        return optimize(model, engine=begun_with, batch_sizes=(batch_size,))
    except (ImportError, RuntimeError, ValueError) as error:
        _log.warning(
            "this output was begun on the engine %s; it continues in PyTorch, whose rows differ by 1e-4 at most (%s)",
            begun_with,
            error,
        )
        return model


def _is_as_loaded(model: ImageMethods, name: str, path: Path) -> bool:
    """Whether the encoder's tensors are still those of the file that the model was loaded from."""
    assert model.load_report is not None
    try:
        fresh = create(
            name,
            checkpoint=path,
            device=model.device,
            dtype=model.dtype,
            img_size=model.img_size,
            in_chans=model.in_chans,
            decoder=False,
        )
    except (MaezooError, OSError):  # the file is gone, or another one by now
        return False
    ours, theirs = model.encoder.state_dict(), fresh.encoder.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def _engine_of(model: ImageMethods, batch_size: int) -> str:
    """Return the name of the engine that embeds a batch."""
    plan = model.plan.tasks.get("features") if isinstance(model, OptimizedMAE) else None
    return "eager" if plan is None else plan.route_for(batch_size).engine
