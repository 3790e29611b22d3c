"""extract(): from a source to a finished output."""

import multiprocessing
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from PIL import Image, ImageFile

from maezoo.api.image_methods import ImageMethods
from maezoo.errors import ArgumentError, DataError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.encoder import open_encoder, prepared, used_weights
from maezoo.extraction.items import Items
from maezoo.extraction.job import Assembly, Job
from maezoo.extraction.local import choose_batch_size, choose_workers, local_pieces
from maezoo.extraction.remote import is_uri, path_in
from maezoo.extraction.result import ExtractResult, Meter, Progress
from maezoo.extraction.resume import open_job
from maezoo.extraction.settings import FOLDER, EmbeddingType, Settings
from maezoo.extraction.shards import Shard, Span
from maezoo.extraction.sources import find_items
from maezoo.extraction.store import LocalStore, exclusive, open_store
from maezoo.images.preprocessing import Preprocessing
from maezoo.interrupts import Interrupts
from maezoo.model import pooled_width
from maezoo.paths import user_path
from maezoo.vocabulary import Pool, Window

__all__ = ["extract"]

Engine = Literal["local", "ray"]


def extract(
    source: str | Path,
    output: str | Path,
    *,
    model: str | ImageMethods = "mae_vit_tiny",
    pool: Pool = "cls",
    dtype: EmbeddingType = "float16",
    precision: torch.dtype | str | None = None,
    device: str | torch.device = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    shard_size: int = 10_000,
    engine: Engine = "local",
    labels: bool = False,
    exact: bool = False,
    window: Window | None = None,
    limit: int | None = None,
    contents: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractResult:
    """Embed all images of a source into a folder of Parquet files. After any interruption, the same call resumes.

    Args:
        source: a folder (searched recursively), a list of paths (.txt, .csv), a tar shard or a folder of them.
        output: a folder: `part-….parquet` with `id`, `embedding` (D numbers), `label`, `width`, `height`;
            in its folder `__maezoo__`, which readers of Parquet folders skip, `errors.parquet` with `id`, `error`,
            `message`, and `extract.json`. It may be a URI such as `s3://bucket/folder`.
        model: weights by name, or a model.
        pool: `"cls"`, `"mean"` or `"cls+mean"`, as in `MAE.features`.
        dtype: of the embeddings in the files.
        precision: of the computation: `None` is float32, `"auto"` is bfloat16 where the hardware multiplies it fast.
        device: `"auto"` is CUDA where there is one, else the CPU.
        batch_size: images at a time; by the device when `None`.
        workers: processes that decode; 0 decodes in this one; by the machine when `None`. With Ray: actors that run
            the model.
        shard_size: images of one file.
        engine: `"local"`, or `"ray"` for a cluster.
        labels: store labels: names of folders, a list's column `label`, or a shard's `.cls` files.
        exact: decode large JPEGs at full size, not at a half, quarter or eighth (which is never below twice what is
            needed).
        window: which values of a picture of more than 8 bits become black and white: `"full"`, `"auto"`,
            `"percentiles"` or (low, high), as in `maezoo.create`; the model's own when `None`.
        limit: take only this many images, the first ones.
        contents: recognise images that have changed since an earlier run by a hash of their bytes, not by size and
            time.
        report: called after each batch.

    Returns:
        What was done. `complete` is false if Ctrl-C ended the run, or if images are pending, which the same call tries
        again.

    Raises:
        DataError: no images, an output begun with other settings or in use by another run, or numbers that do not add
            up.
        MissingExtraError: pyarrow (or Ray) is not installed.
        WorkerError: a worker process died.
        OSError: a folder cannot be read, or the disk is full. What was finished stays.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (120, 90), "teal").save(folder / "teal.png")
        >>> result = extract(folder, folder / "features", device="cpu")
        >>> result.rows, result.errors
        (1, 0)
    """
    require_pyarrow()
    _refuse_in_a_worker()
    if engine not in get_args(Engine):
        raise ArgumentError.for_choice("engine", engine, get_args(Engine))
    _check_counts(batch_size, workers)
    encoder = open_encoder(model, device, precision, ray=engine == "ray")
    where = str(source) if is_uri(str(source)) else str(user_path(source).resolve())
    settings = Settings(
        source=where,
        model=encoder.name,
        sha256=used_weights(encoder, given=isinstance(model, ImageMethods)),
        preprocess=_preprocess(encoder, window).to_dict(),
        pool=pool,
        dtype=dtype,
        precision=str(encoder.dtype).removeprefix("torch."),
        exact=exact,
        labels=labels,
        limit=limit,
        shard_size=shard_size,
        contents=contents,
        max_image_pixels=Image.MAX_IMAGE_PIXELS,
        load_truncated_images=ImageFile.LOAD_TRUNCATED_IMAGES,
    )
    with ExitStack() as held:
        store = open_store(output)
        records = open_store(path_in(output, FOLDER))
        if isinstance(records, LocalStore):
            held.enter_context(exclusive(records.folder / "lock", output))
        found = Items.collect(find_items(source, labels=labels), limit, contents=contents)
        job = open_job(store, records, str(output), settings, found, pooled_width(encoder.embed_dim, pool))
        return _run(job, _Work(encoder, engine, str(device), batch_size, workers), report)


@dataclass(frozen=True)
class _Work:
    """How the rows are to be made: nothing here changes them, except in the last digits."""

    model: ImageMethods
    engine: Engine
    device: str
    batch_size: int | None
    workers: int | None

    def pieces(self, job: Job, spans: list[Span]) -> Generator[Shard, None, None]:
        """Let the engine make what is missing."""
        kind = self.model.device.type
        batch_size = self.batch_size or choose_batch_size(kind)
        if self.engine == "ray":
            from maezoo.extraction.ray_engine import ray_pieces

            job.keep_engine("eager")
            return ray_pieces(job, spans, self.model, device=self.device, batch_size=batch_size, actors=self.workers)
        images = sum(span.missing for span in spans)
        workers = choose_workers(kind, images, batch_size) if self.workers is None else self.workers
        model = prepared(self.model, job, images, batch_size)
        return local_pieces(job, spans, model, batch_size=batch_size, workers=workers)


def _run(job: Job, work: _Work, report: Callable[[Progress], None]) -> ExtractResult:
    """Make what is missing; Ctrl-C ends the run wherever it waits, and what is done is kept."""
    spans = job.missing()
    counts = job.counts()
    missing = sum(span.missing for span in spans)
    begun = [failure for span in spans if span.begun for failure in span.begun.failures]
    known = counts.errors + counts.pending - sum(len(span.again) for span in spans) + len(begun)
    meter = Meter(total=len(job.items), done=len(job.items) - missing, errors=known)
    report(meter.count(0, 0))
    assembly, interrupts = Assembly(job, spans), Interrupts()
    if spans:
        pieces = work.pieces(job, spans)
        with interrupts.caught(), closing(pieces):
            for piece in pieces:
                with interrupts.held_back():
                    through, failed = assembly.add(piece)
                    report(meter.count(through, failed))
        if interrupts.came:
            assembly.keep()
            if job.missing():
                return job.pause(meter.done, meter.seconds)
    return job.finish(meter.done, meter.seconds)


def _preprocess(encoder: ImageMethods, window: Window | None) -> Preprocessing:
    """Return the model's preprocessing, with the window of this run."""
    return encoder.preprocess if window is None else replace(encoder.preprocess, window=window)


def _check_counts(batch_size: int | None, workers: int | None) -> None:
    """Refuse impossible numbers before anything is read."""
    if (batch_size is not None and batch_size < 1) or (workers is not None and workers < 0):
        raise ArgumentError(
            f"batch_size is at least 1 and workers at least 0; got {batch_size} and {workers}.",
            found=(batch_size, workers),
        )


def _refuse_in_a_worker() -> None:
    """Refuse a script without a main guard, which each worker would run again, with an error that says so."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise DataError(
            "maezoo.extract starts processes that import your script; call it below `if __name__ == '__main__':`, or "
            "pass workers=0."
        )
