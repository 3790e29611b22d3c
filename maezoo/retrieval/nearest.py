"""search(): the images of an output that are nearest to a picture."""

import heapq
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from maezoo.api.factory import create
from maezoo.api.image_methods import ImageMethods
from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError, DataError, ImageError, UnknownModelError
from maezoo.extraction.embed import unit_length
from maezoo.extraction.encoder import used_weights
from maezoo.images.decoding import ImageLike, open_image
from maezoo.images.fields import takes_pictures
from maezoo.images.preprocessing import Preprocessing
from maezoo.retrieval.embeddings import Embeddings, Floats, centred
from maezoo.vocabulary import POOLS

__all__ = ["Match", "search"]


class Match(NamedTuple):
    """An image that was found.

    Attributes:
        id: its name in the output.
        similarity: cosine of its centred embedding and the picture's, from -1 to 1.
    """

    id: str
    similarity: float


def search(
    output: str | Path,
    query: ImageLike,
    *,
    k: int = 10,
    model: str | ImageMethods | None = None,
    device: str | torch.device = "auto",
) -> list[Match]:
    """Find the images of an extraction that are nearest to a picture.

    The picture is embedded as the output was: with the model, preprocessing and settings that its record names. The
    output is read twice, a few thousand rows at a time: once for the mean of the embeddings, which is subtracted, and
    once to compare.

    Args:
        output: a folder that `maezoo.extract` wrote, or its URI.
        query: the picture: a path, the bytes of a file, an open file, a PIL image or an array, as in `MAE.features`.
        k: how many to find, at most.
        model: the model that made the output, if it has no name by which it can be created.
        device: `"auto"` is CUDA where there is one, else the CPU.

    Returns:
        Matches, the most similar first; of equal ones, the one that comes first in the output.

    Raises:
        SourceMissingError: no output of an extraction.
        ImageError: the picture cannot be read.
        DataError: no rows, or a model with other weights than the output was made with.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> import maezoo
        >>> folder = Path(tempfile.mkdtemp())
        >>> for colour in ("teal", "gold", "black"):
        ...     Image.new("RGB", (96, 96), colour).save(folder / f"{colour}.png")
        >>> _ = maezoo.extract(folder, folder / "features", device="cpu")
        >>> search(folder / "features", folder / "teal.png", k=1, device="cpu")[0].id
        'teal.png'
    """
    k = whole_number(k, "k", what="the number of images to find")
    embeddings = Embeddings.open(output)
    vector = _embedded(embeddings, query, model, device)  # (1, D)
    if vector.shape[1:] != embeddings.mean.shape:
        raise DataError(
            f"{output} holds vectors of {len(embeddings.mean)} numbers; its model gives {vector.shape[1]}.", path=output
        )
    return _nearest(embeddings, centred(vector, embeddings.mean)[0], k)


def _nearest(embeddings: Embeddings, asked: Floats, k: int) -> list[Match]:
    """Return the nearest rows to a centred vector of length 1."""
    best: list[tuple[float, int, str]] = []  # a heap, the worst first
    first = 0
    for batch, vectors in embeddings.vectors():
        similarity = centred(vectors, embeddings.mean) @ asked  # (n,)
        order = np.argsort(-similarity, kind="stable")[:k]
        for row in order.tolist():
            entry = (float(similarity[row]), -(first + row), batch.column("id")[row].as_py())
            if len(best) < k:
                heapq.heappush(best, entry)
            elif entry > best[0]:
                heapq.heapreplace(best, entry)
        first += len(vectors)
    return [Match(id, similarity) for similarity, _, id in sorted(best, reverse=True)]


def _embedded(
    embeddings: Embeddings, query: ImageLike, model: str | ImageMethods | None, device: str | torch.device
) -> Floats:
    """Return the embedding (1, D) of a picture, made as the output was."""
    settings = embeddings.settings
    encoder = _encoder(embeddings, model, device)
    exact = settings.get("exact") and takes_pictures(encoder.preprocess, encoder.in_chans)
    picture = open_image(query) if exact else query  # opened first, a JPEG is decoded at full size
    vectors: Floats = encoder.features(picture, pool=settings["pool"]).float().cpu().numpy()
    if len(vectors) != 1:
        raise ImageError(f"search takes one picture; got {len(vectors)}.")
    return unit_length(vectors) if settings.get("normalize") else vectors


def _encoder(embeddings: Embeddings, model: str | ImageMethods | None, device: str | torch.device) -> ImageMethods:
    """Return the model that the record names, or the one that is given, if it has the same weights."""
    settings, where = embeddings.settings, embeddings.where
    try:
        preprocess = Preprocessing.from_dict(settings["preprocess"])
        name, sha256, precision = (str(settings[key]) for key in ("model", "sha256", "precision"))
        if settings["pool"] not in POOLS:
            raise ArgumentError.for_choice("pool", settings["pool"], POOLS)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError.about(where, f"has a record that no extraction wrote: {error}.") from error
    if isinstance(model, ImageMethods):
        encoder = model
    else:
        encoder = _created(where, model or name, model is None, device, precision, preprocess)
    found = used_weights(encoder, given=isinstance(model, ImageMethods))
    if found != sha256 or encoder.preprocess != preprocess:
        what = "weights" if found != sha256 else "preprocessing"
        raise DataError(
            f"{where} was made by {name} with other {what} than those of {encoder.name}. Name the model that made it: "
            "--model (in Python: model).",
            path=where,
            expected=sha256 if found != sha256 else preprocess.to_dict(),
            found=found if found != sha256 else encoder.preprocess.to_dict(),
        )
    return encoder


def _created(
    where: str, name: str, recorded: bool, device: str | torch.device, precision: str, preprocess: Preprocessing
) -> ImageMethods:
    """Create a model by its name, for pictures prepared as they were for the output."""
    try:
        encoder = create(name, pretrained=True, device=device, dtype=precision, img_size=preprocess.size, decoder=False)
    except UnknownModelError as error:
        if not recorded:
            raise
        raise DataError(
            f"{where} was made by a model called {name!r}, which cannot be created by that name. Name one that can: "
            "--model (in Python: model, a name or the model itself).",
            path=where,
            found=name,
        ) from error
    encoder.preprocess = preprocess
    return encoder
