"""The model whose features a probe was fitted on, from what the features' record says."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import DataError
from maezoo.evaluation.checks import check_same_origin
from maezoo.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from maezoo.api.image_methods import ImageMethods

__all__ = ["as_recorded", "check_model", "open_model", "require_origin"]


def open_model(about: Mapping[str, Any], device: str = "auto") -> "ImageMethods":
    """Create the model of a record, without its decoder and with the preprocessing of the record.

    Raises:
        DataError: the record does not say which model it was.
    """
    from maezoo.api.factory import create

    require_origin(about)
    recorded = _preprocess(about)
    preprocess = None if recorded is None else Preprocessing.from_dict(recorded)
    size = None if preprocess is None else preprocess.size
    model = create(about["model"], pretrained=True, device=device, decoder=False, img_size=size)
    if preprocess is not None:
        model.preprocess = preprocess
    return model


def check_model(about: Mapping[str, Any], model: "ImageMethods") -> None:
    """Refuse another model than that of a record.

    Raises:
        DataError: another name, weights' file or preprocessing; or the record does not say model and pooling.
    """
    require_origin(about)
    found: dict[str, Any] = {"model": model.name, "preprocess": model.preprocess.to_dict()}
    published = None if model.entry is None else model.entry.sha256
    if published and not str(about.get("sha256", "tensors:")).startswith("tensors:"):
        found["sha256"] = published
    recorded = _preprocess(about)
    expected = dict(about) if recorded is None else {**about, "preprocess": recorded}
    check_same_origin(expected, found, "the probe's training features and this model's")


def as_recorded(about: Mapping[str, Any], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features (n, D) of a model as a record's extraction stored them: of length 1, if it normalised them."""
    if not about.get("normalize", False):
        return vectors
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return scaled


def require_origin(about: Mapping[str, Any]) -> None:
    """Refuse to choose a model or pooling for features of unknown origin.

    Raises:
        DataError: the record does not say model and pooling.
    """
    if "model" not in about or "pool" not in about:
        raise DataError(
            "this probe was fitted on features whose model and pooling are not known; call "
            "probe.predict(model.features(images, pool=…)), or fit it on LabelledFeatures.of(X, y, "
            'about={"model": model.name, "pool": …}).'
        )


def _preprocess(about: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the preprocessing of a record as `Preprocessing.to_dict` writes it; extraction keeps the window apart."""
    if not isinstance(about.get("preprocess"), Mapping):
        return None
    window = about.get("window", "full")
    return {**about["preprocess"], **({} if window == "full" else {"window": window})}
