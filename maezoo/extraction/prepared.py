"""The model as fast as a run pays for, and the same on every run that goes on with one output."""

import logging

from maezoo.api.image_methods import ImageMethods
from maezoo.api.optimized import OptimizedMAE, optimize, optimize_for
from maezoo.extraction.job import Job

__all__ = ["prepared"]

_log = logging.getLogger(__name__)


def prepared(model: ImageMethods, job: Job, images: int, batch_size: int) -> ImageMethods:
    """Return the model on the engine that the output was begun with; a new output chooses one.

    Engines agree to about 1e-6, not to the bit: one output is made by one of them.

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
            _log.warning("this output was begun on the engine %s; the model given goes on with %s.", begun_with, engine)
        job.keep_engine(engine)
        return fast
    if begun_with == "eager":
        return model
    try:
        return optimize(model, engine=begun_with, batch_sizes=(batch_size,))
    except (ImportError, RuntimeError, ValueError) as error:
        _log.warning(
            "this output was begun on the engine %s; it goes on in PyTorch, whose rows differ by 1e-4 at most (%s)",
            begun_with,
            error,
        )
        return model


def _engine_of(model: ImageMethods, batch_size: int) -> str:
    """Return the name of the engine that embeds a batch."""
    plan = model.plan.tasks.get("features") if isinstance(model, OptimizedMAE) else None
    return "eager" if plan is None else plan.route_for(batch_size).engine
