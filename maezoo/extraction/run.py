"""extract(): from a source to a finished output."""

import multiprocessing
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from PIL import Image, ImageFile

from maezoo.api.image_methods import ImageMethods
from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError, DataError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.assembly import Assembly
from maezoo.extraction.columns import Columns
from maezoo.extraction.encoder import check_movable, open_encoder, prepared, used_weights
from maezoo.extraction.items import Items
from maezoo.extraction.job import Job
from maezoo.extraction.local import choose_batch_size, choose_workers, local_pieces
from maezoo.extraction.parquet_rows import close_rows
from maezoo.extraction.remote import is_uri, path_in
from maezoo.extraction.result import ExtractResult, Meter, Progress
from maezoo.extraction.resume import open_job
from maezoo.extraction.settings import FOLDER, EmbeddingType, Settings
from maezoo.extraction.shards import Shard, Span
from maezoo.extraction.sources import file_endings, find_items
from maezoo.extraction.store import LocalStore, exclusive, open_store
from maezoo.extraction.tolerance import most_errors, too_many_errors
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
    pool: Pool | None = None,
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
    path_column: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
    keep: str | Sequence[str] = (),
    normalize: bool = False,
    max_errors: int | str | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractResult:
    """Embed all images of a source into a folder of Parquet files. After any interruption, the same call resumes.

    Args:
        source: a folder (searched recursively); a list of paths (.txt, .csv, .parquet); a Parquet file with the images
            themselves, or a folder of such files; a tar shard or a folder of them.
        output: a folder: `part-….parquet` with `id`, `embedding` (D numbers), `label`, `width`, `height`;
            in its folder `__maezoo__`, which readers of Parquet folders skip, `errors.parquet` with `id`, `error`,
            `message`, and `extract.json`. It may be a URI such as `s3://bucket/folder`.
        model: weights by name, or a model.
        pool: `"cls"`, `"mean"` or `"cls+mean"`, as in `MAE.features`; the weights' own when `None`.
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
        path_column: column of a list that holds paths or URIs; found by its name when `None`.
        image_column: column of a Parquet file that holds images: bytes, or a struct of `bytes` and `path`; found by its
            type when `None`.
        id_column: column whose values become `id`: of a list, or of a shard (a key of the `.json` members, or the
            ending of a text member, such as `txt`).
        label_column: column of the labels, found in the same places; implies `labels`.
        keep: names of columns, found in the same places, that are copied to the output with their types; or one text
            with commas.
        normalize: divide each embedding by its length.
        max_errors: images that may fail, those that are pending included: a number, or a share such as `"1%"`. With
            more, the run ends and what is done is kept.
        report: called after each batch.

    Returns:
        What was done. `complete` is false if Ctrl-C ended the run, or if images are pending, which the same call tries
        again.

    Raises:
        SourceMissingError: no such source, or no image in it.
        OutputBusyError: another run is writing to the output.
        OtherSettingsError: the output was begun with other settings.
        TooManyErrorsError: more images failed than `max_errors`.
        DataError: a source or a column that cannot be used.
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
    _check_engine(engine, model)
    _refuse_in_a_worker()
    _check_counts(batch_size, workers)
    most_errors(max_errors, 0)
    columns = Columns(path_column, image_column, id_column, label_column, _names(keep))
    labels = labels or label_column is not None
    if labels and "label" in columns.keep:
        raise ArgumentError("labels are stored as 'label' already; leave 'label' out of keep.", found=columns.keep)
    found = find_items(source, labels=labels, columns=columns)
    encoder = open_encoder(model, device, precision, ray=engine == "ray")
    if endings := file_endings(encoder.preprocess):
        found = find_items(source, labels=labels, columns=columns, endings=endings)
    pool = encoder.pooling if pool is None else pool
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
        columns=columns.named(),
        normalize=normalize,
    )
    with ExitStack() as held:
        store = open_store(output)
        records = open_store(path_in(output, FOLDER))
        if isinstance(records, LocalStore):
            held.enter_context(exclusive(records.folder / "lock", output))
        held.callback(close_rows)
        items = Items.collect(found, limit, contents=contents, keep=columns.keep)
        job = open_job(store, records, str(output), settings, items, pooled_width(encoder.embed_dim, pool))
        work = _Work(encoder, engine, str(device), batch_size, workers)
        return _run(job, work, report, most_errors(max_errors, len(job.items)))


def _check_engine(engine: str, model: str | ImageMethods) -> None:
    """Check the engine, the model for it, and that what it needs is installed, before anything is read or written."""
    if engine not in get_args(Engine):
        raise ArgumentError.for_choice("engine", engine, get_args(Engine))
    if engine == "ray":
        from maezoo.extraction.ray_engine import require_ray

        check_movable(model)
        require_ray()  # before pyarrow, which its extra brings along
    require_pyarrow()


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


def _run(job: Job, work: _Work, report: Callable[[Progress], None], most: int) -> ExtractResult:
    """Make what is missing; Ctrl-C ends the run wherever it waits, and what is done is kept. So do too many errors."""
    spans = job.missing()
    meter = _meter(job, spans)
    at = meter.count(0, 0)
    report(at)
    assembly, interrupts = Assembly(job, spans), Interrupts()
    if spans:
        pieces = work.pieces(job, spans)
        with interrupts.caught(), closing(pieces):
            for piece in pieces:
                with interrupts.held_back():
                    at = meter.count(*assembly.add(piece))
                    report(at)
                if at.errors > most:
                    break
        if interrupts.came or at.errors > most:
            assembly.keep()
            if job.missing():
                if at.errors > most:
                    raise too_many_errors(
                        job.where, job.give_up(assembly.failures(), meter.done, meter.seconds), at, most
                    )
                return job.pause(meter.done, meter.seconds)
    result = job.finish(meter.done, meter.seconds)
    if result.errors + result.pending > most:
        raise too_many_errors(job.where, job.failures(), at, most)
    return result


def _meter(job: Job, spans: list[Span]) -> Meter:
    """Return the meter of a run that has these shards to make."""
    counts = job.counts()
    missing = sum(span.missing for span in spans)
    begun = [failure for span in spans if span.begun for failure in span.begun.failures]
    known = counts.errors + counts.pending - sum(len(span.again) for span in spans) + len(begun)
    return Meter(total=len(job.items), done=len(job.items) - missing, errors=known)


def _names(keep: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of columns, given one by one or with commas."""
    return tuple(name.strip() for name in keep.split(",")) if isinstance(keep, str) else tuple(keep)


def _preprocess(encoder: ImageMethods, window: Window | None) -> Preprocessing:
    """Return the model's preprocessing, with the window of this run."""
    return encoder.preprocess if window is None else replace(encoder.preprocess, window=window)


def _check_counts(batch_size: int | None, workers: int | None) -> None:
    """Refuse impossible numbers before anything is read."""
    if batch_size is not None:
        whole_number(batch_size, "batch_size")
    if workers is not None:
        whole_number(workers, "workers", 0)


def _refuse_in_a_worker() -> None:
    """Refuse a script without a main guard, which each worker would run again, with an error that says so."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise DataError(
            "maezoo.extract starts processes that import your script; call it below `if __name__ == '__main__':`, or "
            "pass workers=0."
        )
