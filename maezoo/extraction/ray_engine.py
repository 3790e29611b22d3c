"""The engine for a cluster: the same two stages as a Ray Data pipeline; this process writes the results.

    number ranges -> map: fetch and decode (tasks on all cores) -> map: embed (actors, one for each GPU) -> here

Ray starts the tasks, moves the data, holds back stages that are too fast, and repeats what a dead worker or node has
lost. It moves Arrow tables: a chunk is the table of a `Shard`, with pixels in the place of embeddings at first.
"""

import json
import logging
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from maezoo.api.image_methods import ImageMethods
from maezoo.errors import MissingExtraError
from maezoo.extraction.arrow import bytes_to_table, table_to_bytes
from maezoo.extraction.decode import Chunk, Decoded, decode_chunk, without_warnings
from maezoo.extraction.embed import Embedder
from maezoo.extraction.items import Items
from maezoo.extraction.job import Job
from maezoo.extraction.pillow import PillowState
from maezoo.extraction.shards import Shard, Span
from maezoo.images.preprocessing import Preprocessing
from maezoo.vocabulary import Pool

__all__ = ["ray_pieces", "require_ray"]

_USAGE = "RAY_USAGE_STATS_ENABLED"
_CHUNK = "chunk"  # the one column: a chunk's numbers, then its table


def ray_pieces(
    job: Job, spans: list[Span], model: ImageMethods, *, device: str, batch_size: int, actors: int | None
) -> Generator[Shard, None, None]:
    """Yield the missing pieces as they arrive, in any order.

    Args:
        job: the run.
        spans: the shards that are missing.
        model: the encoder, on the CPU; each actor gets a copy.
        device: where the actors run it; `"auto"` is the GPU that Ray gives each, where the cluster has any.
        batch_size: images of a chunk.
        actors: number of those that run the model; by the cluster when `None`.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = _connect()
    with _quiet(ray):
        embedded = _pipeline(ray, job, spans, model, device=device, batch_size=batch_size, actors=actors)
        for row in embedded.iter_rows():
            yield _unpack(row)


def _pipeline(
    ray: ModuleType,
    job: Job,
    spans: list[Span],
    model: ImageMethods,
    *,
    device: str,
    batch_size: int,
    actors: int | None,
) -> Any:
    """Return the data set of embedded chunks; nothing runs before its rows are asked for."""
    resources = ray.cluster_resources()
    if device == "auto":
        device = "cuda" if resources.get("GPU") else "cpu"
    on_gpu = device.startswith("cuda")
    count = actors or max(1, int(resources.get("GPU", 1) if on_gpu else resources.get("CPU", 1) // 2))
    settings = job.settings
    chunks = [{_CHUNK: json.dumps(chunk)} for span in spans for chunk in span.chunks(batch_size)]
    return (
        ray.data.from_items(chunks, override_num_blocks=min(len(chunks), 1000))
        .map(_Decode(ray.put(job.items), settings.preprocessing, settings.exact, PillowState.of_this_process()))
        .map(
            _Embed,
            fn_constructor_args=(ray.put(model), device, settings.pool, settings.dtype, settings.normalize),
            compute=ray.data.ActorPoolStrategy(size=count),
            num_gpus=1 if on_gpu else 0,
            num_cpus=0,  # unlike the tasks: Ray fuses stages that are alike, and actors would decode for themselves
        )
    )


class _Decode:
    """Fetches and decodes one chunk in a Ray task.

    Args:
        items: Ray's reference to all items.
        preprocess: of the weights.
        exact: decode JPEGs at full size.
        pillow: Pillow's settings in the process that started the run.
    """

    def __init__(self, items: Any, preprocess: Preprocessing, exact: bool, pillow: PillowState) -> None:
        self._items, self._preprocess, self._exact, self._pillow = items, preprocess, exact, pillow

    def __call__(self, row: dict[str, str]) -> dict[str, bytes]:
        """Decode a chunk."""
        start, stop, again = json.loads(row[_CHUNK])
        items: Items = require_ray().get(self._items)
        self._pillow.apply()
        with without_warnings():
            chunk = decode_chunk(
                items.slice(start, stop), Chunk(start, stop, tuple(again)), self._preprocess, exact=self._exact
            )
        pixels = chunk.pixels.flatten(1).numpy()  # (b, C * H * W)
        return _pack(Shard(start, stop - start, chunk.rows, [pixels], chunk.failures))


class _Embed:
    """Holds the model in a Ray actor and embeds chunks.

    Args:
        model: Ray's reference to the model, on the CPU.
        device: where to run it.
        pool: which tokens.
        dtype: of the embeddings.
        normalize: divide each by its length.
    """

    def __init__(self, model: Any, device: str, pool: Pool, dtype: str, normalize: bool) -> None:
        self._model: ImageMethods = require_ray().get(model).to(device)
        self._embedder = Embedder(self._model, pool, dtype, normalize=normalize)

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        """Embed a chunk."""
        shard, model = _unpack(row), self._model
        pixels = torch.tensor(shard.vectors[0]).view(len(shard.rows), model.in_chans, *model.preprocess.size)
        chunk = Decoded(shard.first, shard.first + shard.count, pixels, shard.rows, shard.failures)
        return _pack(self._embedder.read(chunk, self._embedder.start(chunk)))


def _pack(shard: Shard) -> dict[str, bytes]:
    """Make a row of Ray's data set."""
    return {_CHUNK: table_to_bytes(shard.to_table())}


def _unpack(row: dict[str, bytes]) -> Shard:
    """Read such a row."""
    return Shard.from_table(bytes_to_table(row[_CHUNK]))


def _connect() -> ModuleType:
    """Return Ray, connected: to the caller's, to the cluster that `RAY_ADDRESS` names, or to one started here."""
    ray = require_ray()
    if not ray.is_initialized():
        asked = os.environ.get(_USAGE)
        os.environ.setdefault(_USAGE, "0")  # what is started here reports nothing to Ray's makers
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        finally:
            if asked is None:
                os.environ.pop(_USAGE, None)
    return ray


@contextmanager
def _quiet(ray: ModuleType) -> Iterator[None]:
    """Keep Ray Data's own bars and messages back while the block runs; ours show the run."""
    log, context = logging.getLogger("ray.data"), ray.data.DataContext.get_current()
    before = log.level, context.enable_progress_bars
    log.setLevel(logging.WARNING)
    context.enable_progress_bars = False
    try:
        yield
    finally:
        log.setLevel(before[0])
        context.enable_progress_bars = before[1]


def require_ray() -> ModuleType:
    """Return Ray with its data library imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError.for_extra("ray", "engine='ray'") from error
    module: ModuleType = ray
    return module
