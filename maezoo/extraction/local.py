"""The engine for one machine: worker processes decode, this process runs the model."""

import logging
import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from multiprocessing.reduction import ForkingPickler

from maezoo.api.image_methods import ImageMethods
from maezoo.extraction.decode import Decoded, Decoder, without_warnings
from maezoo.extraction.embed import Embedder
from maezoo.extraction.job import Job
from maezoo.extraction.pillow import PillowState
from maezoo.extraction.shards import Shard, Span
from maezoo.extraction.workers import Crew

__all__ = ["choose_batch_size", "choose_workers", "decoded_chunks", "local_pieces"]

_AHEAD = 2  # chunks that are decoded in advance for each worker
_POLL = 1.0  # seconds; a wait without a limit cannot be interrupted on Windows
_log = logging.getLogger(__name__)


def local_pieces(
    job: Job, spans: list[Span], model: ImageMethods, *, batch_size: int, workers: int
) -> Generator[Shard, None, None]:
    """Yield the missing pieces in order.

    While the model works on one chunk, the next is decoded, and the one before is copied back and written.

    Raises:
        WorkerError: a worker process died.
    """
    settings = job.settings
    chunks = [chunk for span in spans for chunk in span.chunks(batch_size)]
    decoder = Decoder(job.items, chunks, settings.preprocessing, settings.exact)
    embedder = Embedder(model, settings.pool, settings.dtype, normalize=settings.normalize)
    yield from embedder.embed_all(_noted(decoded_chunks(decoder, workers, pin=model.device.type == "cuda")))


def decoded_chunks(decoder: Decoder, workers: int, *, pin: bool = False) -> Iterator[Decoded]:
    """Yield decoded chunks in order.

    Args:
        decoder: what to decode.
        workers: processes, or threads where no processes can be started; 0 decodes in this thread.
        pin: put the pixels into page-locked memory, for CUDA.

    Raises:
        WorkerError: a worker process died.
        OSError: the system starts no more processes.
    """
    workers = min(workers, len(decoder))
    obstacle = _obstacle() if workers else None
    if not workers:
        for index in range(len(decoder)):
            with without_warnings():
                chunk = decoder[index]
            yield _pinned(chunk, pin)
    elif obstacle is None:
        crew = Crew(decoder, workers, pin=pin)
        yield from _in_order(crew.decode, len(decoder), workers, start=crew.start, end=crew.end)
    else:
        _log.warning("%s: %d threads decode instead of processes.", obstacle, workers)
        with without_warnings():
            yield from _in_order(lambda index: _pinned(decoder[index], pin), len(decoder), workers)


def _noted(chunks: Iterator[Decoded]) -> Iterator[Decoded]:
    """Pass chunks on, and tell the first thing there is to tell of a picture: of a million alike, once."""
    told = False
    for chunk in chunks:
        if chunk.note and not told:
            _log.warning("%s", chunk.note)
            told = True
        yield chunk


def _obstacle() -> str | None:
    """Say why other processes cannot be started, or cannot decode as this one does; `None` if they can."""
    if multiprocessing.current_process().daemon:
        return "a daemonic process, such as a pool's worker, may not start others"
    state = PillowState.of_this_process()
    if "__main__" in state.modules():
        return "a Pillow plug-in is defined in the script itself, which other processes may not run"
    try:
        ForkingPickler.dumps(state)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        return f"a Pillow plug-in of this process cannot be sent to others ({error})"
    return None


def _in_order(
    decode: Callable[[int], Decoded],
    count: int,
    workers: int,
    *,
    start: Callable[[], None] = lambda: None,
    end: Callable[[], None] = lambda: None,
) -> Iterator[Decoded]:
    """Decode chunks in threads, some of them ahead of the one that is asked for.

    Args:
        decode: decodes a chunk.
        count: number of chunks.
        workers: chunks at a time.
        start: called before the first `decode`.
        end: called at the end; makes all calls of `decode` return.
    """
    with ExitStack() as held:
        pool = ThreadPoolExecutor(workers, thread_name_prefix="maezoo-decode")
        held.callback(pool.shutdown, cancel_futures=True)
        held.callback(end)  # which is called first
        start()
        upcoming = deque[Future[Decoded]]()
        for index in range(count + workers * _AHEAD):
            if index < count:
                upcoming.append(pool.submit(decode, index))
            if index >= workers * _AHEAD - 1 and upcoming:
                first = upcoming.popleft()
                while not wait([first], _POLL).done:
                    pass
                yield first.result()


def choose_batch_size(device: str) -> int:
    """Return how many images a device takes at a time.

    Example:
        >>> choose_batch_size("cpu")
        32
    """
    return 256 if device == "cuda" else 32


def choose_workers(device: str, images: int, batch_size: int) -> int:
    """Return how many processes should decode: none for a few images, else all cores with a GPU, half of them without.

    Example:
        >>> choose_workers("cpu", images=10, batch_size=32)
        0
    """
    if images <= 2 * batch_size:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, cores) if device == "cuda" else max(1, min(8, cores // 2))


def _pinned(chunk: Decoded, pin: bool) -> Decoded:
    return chunk._replace(pixels=chunk.pixels.pin_memory()) if pin else chunk
