"""The engine for one machine: worker processes decode, this process runs the model."""

import os
from collections.abc import Generator, Iterator
from typing import Any

from torch.utils.data import DataLoader

from maezoo.api import MAE
from maezoo.extract.decode import Decoded, Decoder, chunk_starts, start_worker
from maezoo.extract.embed import Embedder
from maezoo.extract.job import Job, Span
from maezoo.extract.shards import Shard

__all__ = ["choose_batch_size", "choose_workers", "decoded_chunks", "local_pieces"]

_AHEAD = 2  # chunks that each worker decodes in advance


def local_pieces(
    job: Job, spans: list[Span], model: MAE, *, batch_size: int, workers: int
) -> Generator[Shard, None, None]:
    """Yield the missing pieces in order.

    While the model works on one chunk, the next is decoded and the one before is read back and written.

    Raises:
        ChildProcessError: a worker process died.
    """
    settings = job.settings
    chunks = [chunk for span in spans for chunk in chunk_starts(span.next, span.stop, batch_size)]
    decoder = Decoder(job.items, chunks, model.preprocess, settings.exact)
    yield from Embedder(model, settings.pool, settings.dtype).embed_all(
        decoded_chunks(decoder, workers, pin=model.device.type == "cuda")
    )


def decoded_chunks(decoder: Decoder, workers: int, *, pin: bool = False) -> Iterator[Decoded]:
    """Yield decoded chunks in order.

    Args:
        decoder: what to decode.
        workers: processes; 0 decodes in this one.
        pin: hand the pixels over in page-locked memory, for CUDA.

    Raises:
        ChildProcessError: a worker process died.
    """
    loader: DataLoader[Decoded] = DataLoader(
        decoder,  # type: ignore[arg-type]  # a frozen dataclass with the two methods that DataLoader calls
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,  # fork would copy locks and CUDA's state
        worker_init_fn=start_worker if workers else None,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=pin,
    )
    try:
        yield from loader
    except (RuntimeError, ConnectionError, EOFError) as error:
        if not workers or str(error).startswith("Caught"):  # "Caught": by a worker that lives
            raise
        raise ChildProcessError(
            f"a process that decodes images died ({error}). Was memory short? Try fewer workers. In a script of your "
            "own, call maezoo.extract below `if __name__ == '__main__':`, or pass workers=0."
        ) from error


def choose_batch_size(device: str) -> int:
    """Return how many images a device takes at a time.

    Example:
        >>> choose_batch_size("cpu")
        32
    """
    return 256 if device == "cuda" else 32


def choose_workers(device: str, images: int, batch_size: int) -> int:
    """Return how many processes should decode: none for a handful, all cores beside a GPU, half of them beside a CPU.

    Example:
        >>> choose_workers("cpu", images=10, batch_size=32)
        0
    """
    if images <= 2 * batch_size:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, cores) if device == "cuda" else max(1, min(8, cores // 2))


def _unchanged(chunk: Any) -> Any:
    return chunk
