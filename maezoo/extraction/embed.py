"""The second stage: pixels become embeddings, on the model's device."""

from collections.abc import Generator, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maezoo.api.image_methods import ImageMethods
from maezoo.errors import DataError
from maezoo.extraction.decode import Decoded
from maezoo.extraction.shards import Shard
from maezoo.images.batches import normalise
from maezoo.model import pool_tokens, pooled_width
from maezoo.vocabulary import Pool

__all__ = ["Embedder", "unit_length"]


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide each row (n, D) by its length; one of length 0 stays.

    Example:
        >>> unit_length(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)  # (n, 1)
    found: NDArray[np.float32] = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return found


class Started(NamedTuple):
    """Embeddings that are being computed.

    Attributes:
        vectors: (b, D) float32; on the CPU if there is a `ready`.
        ready: on CUDA, the event of their arrival.
    """

    vectors: Tensor
    ready: torch.cuda.Event | None = None


class Embedder:
    """Embeds decoded chunks. Starting one and reading it are two steps: a GPU has work while results are copied.

    Args:
        model: an encoder on its device.
        pool: which tokens.
        dtype: `"float16"` or `"float32"`, of the result.
        normalize: divide each embedding by its length.
    """

    def __init__(self, model: ImageMethods, pool: Pool, dtype: str, *, normalize: bool = False) -> None:
        self._model, self._pool, self._dtype, self._normalize = model, pool, dtype, normalize
        self._copies = None if model.device.type != "cuda" else torch.cuda.Stream(model.device)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def start(self, chunk: Decoded) -> Started:
        """Begin to embed a chunk."""
        model = self._model
        if not len(chunk.pixels):
            return Started(torch.empty(0, pooled_width(model.embed_dim, self._pool), dtype=torch.float32, device="cpu"))
        tokens = model.encode_tokens(self._input(chunk.pixels))
        vectors = pool_tokens(tokens, self._pool, model.num_prefix_tokens).float()
        if self._copies is None:
            return Started(vectors)
        found = vectors.to("cpu", non_blocking=True)
        # An event of this chunk alone: waiting for all work would include the next chunk.
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record(torch.cuda.current_stream(model.device))
        return Started(found, ready)

    def read(self, chunk: Decoded, started: Started) -> Shard:
        """Wait for a chunk's embeddings.

        Raises:
            DataError: an embedding that the files' number format cannot hold.
        """
        if started.ready is not None:
            started.ready.synchronize()
        found: NDArray[np.float32] = started.vectors.cpu().numpy()
        if self._normalize:
            found = unit_length(found)
        with np.errstate(over="ignore"):
            stored = found.astype(self._dtype)
        if not np.isfinite(stored).all():
            bad = chunk.rows[int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])].id
            hint = "use dtype='float32'" if np.isfinite(found).all() else "the weights or the precision are at fault"
            raise DataError(f"the embedding of {bad} is not finite in {self._dtype}; {hint}.")
        return Shard(chunk.first, chunk.stop - chunk.first, chunk.rows, [stored], chunk.failures)

    def embed_all(self, chunks: Iterable[Decoded]) -> Generator[Shard, None, None]:
        """Yield the embeddings of chunks in order; while one is read and used, the next is computed."""
        before = None
        for chunk in chunks:
            started = chunk, self.start(chunk)
            if before is not None:
                yield self.read(*before)
            before = started
        if before is not None:
            yield self.read(*before)

    def _input(self, pixels: Tensor) -> Tensor:
        """Return the model's input on its device; on CUDA it is copied while the chunk before is computed."""
        device = self._model.device
        if self._copies is None:
            return self._normalised(pixels.to(device))
        computing = torch.cuda.current_stream(device)
        with torch.cuda.stream(self._copies):
            images = self._normalised(pixels.to(device, non_blocking=True))
        computing.wait_stream(self._copies)
        images.record_stream(computing)  # else its memory could be given away while it is read
        return images

    def _normalised(self, pixels: Tensor) -> Tensor:
        if pixels.dtype == torch.uint8:
            pixels = normalise(pixels, self._model.preprocess)
        return pixels.to(self._model.dtype)
