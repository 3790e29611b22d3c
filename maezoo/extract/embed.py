"""The second stage: pixels become embeddings, on the model's device."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maezoo.api import MAE, pool_tokens
from maezoo.errors import DataError
from maezoo.extract.decode import Decoded
from maezoo.extract.shards import Shard
from maezoo.images import normalise
from maezoo.vocabulary import Pool

__all__ = ["Embedder", "embedding_width"]


def embedding_width(model: MAE, pool: Pool) -> int:
    """Return D of the embeddings that a pool gives."""
    return model.embed_dim * (2 if pool == "cls+mean" else 1)


class Embedder:
    """Embeds decoded chunks. Starting one and reading it are two steps, so that a GPU has work while results travel.

    Args:
        model: an encoder on its device.
        pool: which tokens.
        dtype: `"float16"` or `"float32"`, of the result.
    """

    def __init__(self, model: MAE, pool: Pool, dtype: str) -> None:
        self._model, self._pool, self._dtype = model, pool, dtype

    @torch.inference_mode()
    def start(self, chunk: Decoded) -> Tensor:
        """Begin to embed a chunk: (b, D) on the model's device, perhaps not computed yet."""
        model = self._model
        if not len(chunk.pixels):
            return torch.empty(0, embedding_width(model, self._pool))
        pixels = chunk.pixels.to(model.device, non_blocking=True)
        return pool_tokens(model.encode_tokens(normalise(pixels, model.preprocess).to(model.dtype)), self._pool)

    def read(self, chunk: Decoded, vectors: Tensor) -> Shard:
        """Wait for a chunk's embeddings.

        Raises:
            DataError: an embedding that the files' number format cannot hold.
        """
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        with np.errstate(over="ignore"):
            stored = found.astype(self._dtype)
        if not np.isfinite(stored).all():
            bad = chunk.rows[int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])].id
            mend = "use dtype='float32'" if np.isfinite(found).all() else "the weights or the precision are at fault"
            raise DataError(f"the embedding of {bad} is not finite in {self._dtype}; {mend}.")
        return Shard(chunk.first, len(chunk.rows) + len(chunk.failures), chunk.rows, [stored], chunk.failures)
