"""Features of images as a scikit-learn transformer."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maezoo.api.factory import create
from maezoo.api.image_methods import ImageMethods
from maezoo.api.source import LOCAL
from maezoo.errors import ArgumentError, ImageError, MissingExtraError
from maezoo.images.reading import kind_of
from maezoo.model import pooled_width
from maezoo.paths import user_path
from maezoo.vocabulary import POOLS, Pool

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
except ImportError as error:
    raise MissingExtraError.for_extra("downstream", "MAEFeatures") from error

__all__ = ["UNSUITABLE_CHECKS", "MAEFeatures"]

UNSUITABLE_CHECKS: dict[str, str] = dict.fromkeys(
    (
        "check_dict_unchanged",
        "check_estimators_dtypes",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_fit_idempotent",
        "check_fit_score_takes_y",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_pipeline_consistency",
        "check_transformer_general",
        "check_transformers_unfitted_stateless",
    ),
    "it has a table of numbers transformed, and MAEFeatures takes images",
)
"""The `expected_failed_checks` of scikit-learn's `check_estimator`: those that take no images, and why they fail.

On pictures made of the same numbers all of them pass; the tests do that.
"""


class MAEFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns images into features: one row for each image, one column for each feature.

    There is nothing to fit. The model is built when it is first needed, is shared by all estimators of a process that
    ask for the same one, and is no part of a pickle or a clone.

    Args:
        model: a name for `maezoo.create`: an architecture, weights, `"local-dir:path"` or `"hf-hub:org/repo"`.
        pretrained: fill it with the named weights; `False` gives random ones.
        pool: `"cls"`, `"mean"` or `"cls+mean"`; what the authors of the weights use when `None`.
        img_size: side or (H, W) of the input in pixels; the weights' own when `None`.
        device: as for `maezoo.create`.
        batch_size: images at a time.
        optimize: use the fastest engine of this machine, or one by name. It is measured at the first use, for some
            seconds to a minute, and remembered. See `MAE.optimize`.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((2, 64, 64, 3), np.uint8)
        >>> MAEFeatures("mae_vit_tiny", pool="mean", device="cpu").fit_transform(images).shape
        (2, 192)
    """

    def __init__(
        self,
        model: str = "mae_vit_tiny",
        *,
        pretrained: bool = True,
        pool: Pool | None = None,
        img_size: int | tuple[int, int] | None = None,
        device: str | torch.device = "auto",
        batch_size: int = 32,
        optimize: bool | str = False,
    ) -> None:
        self.model = model
        self.pretrained = pretrained
        self.pool = pool
        self.img_size = img_size
        self.device = device
        self.batch_size = batch_size
        self.optimize = optimize

    def fit(self, X: Any, y: Any = None) -> "MAEFeatures":
        """Check the parameters; images and labels are not looked at.

        Raises:
            ArgumentError: an unknown pool.
            ImageError: a sparse matrix.
        """
        _refuse_sparse(X)
        if self.pool not in (None, *POOLS):
            raise ArgumentError.for_choice("pool", self.pool, (None, *POOLS))
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the features of images.

        Args:
            X: a list, array or column of paths, bytes, PIL images, arrays or other image-likes (see `MAE.encode`); a
                table with one column of them; an array (n, H, W) or (n, H, W, C), uint8 or uint16; or a tensor
                (n, C, H, W).

        Returns:
            (n, D) float32, or (n, 2 D); a table of pandas or polars after `set_output`.

        Raises:
            ImageError: something else than images, or an image that cannot be read; the message says which and why.
            ArgumentError: an unknown pool, or a batch size below 1.
        """
        items = _one_for_each_row(X)
        features = self._load().features(items, pool=self.pool, batch_size=self.batch_size)
        return features.float().cpu().numpy()

    @property
    def _n_features_out(self) -> int:
        """How many columns there are; scikit-learn makes their names of it."""
        model = self._load()
        return pooled_width(model.embed_dim, self.pool or model.pooling)

    def _load(self) -> ImageMethods:
        """Return the model."""
        if not isinstance(self.model, str):
            raise ArgumentError(
                f"model is a name for maezoo.create; got {kind_of(self.model)}. For a model of "
                "your own, call model.save_pretrained(folder) and pass f'local-dir:{folder}'.",
                found=type(self.model).__name__,
            )
        size = tuple(self.img_size) if isinstance(self.img_size, list) else self.img_size
        batch = self.batch_size if self.optimize else None  # engines are measured on batches of this size
        asked = (self.model, self.pretrained, size, str(self.device), self.optimize, batch)
        return _build(*asked, _state_of(self.model))

    def __sklearn_tags__(self) -> Any:
        """Say what scikit-learn may expect: images in, nothing to fit."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.three_d_array = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


@lru_cache(maxsize=2)
def _build(
    name: str,
    pretrained: bool,
    img_size: int | tuple[int, int] | None,
    device: str,
    optimize: bool | str,
    batch_size: int | None,
    state: tuple[object, ...],
) -> ImageMethods:
    """Build a model, or return the one that was built for the same arguments; `state` is what its files looked like."""
    filled = pretrained and not name.startswith((LOCAL, "hf-hub:"))
    model = create(name, filled, img_size=img_size, device=device, decoder=False)
    if not optimize:
        return model
    engine = optimize if isinstance(optimize, str) else "auto"
    return model.optimize(engine=engine, tasks=("features",), batch_sizes=None if batch_size is None else (batch_size,))


def _state_of(name: str) -> tuple[object, ...]:
    """Return what changes when the files of a local folder do; nothing for other names."""
    if not name.startswith(LOCAL):
        return ()
    folder = user_path(name.removeprefix(LOCAL))
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files)


def _refuse_sparse(X: Any) -> None:
    """Raise an ImageError for a sparse matrix."""
    if hasattr(X, "tocsr"):
        raise ImageError("X is a sparse matrix of numbers; images are (n, H, W) or (n, H, W, C).", found=kind_of(X))


def _one_for_each_row(X: Any) -> Any:
    """Return images as `features` takes them; unlike there, the first axis always counts images.

    Raises:
        ImageError: one image where a list of them belongs, or a table of numbers or of several columns.
    """
    _refuse_sparse(X)
    if isinstance(X, torch.Tensor) and X.ndim == 4:
        return X
    if isinstance(X, str | bytes | bytearray | memoryview) or hasattr(X, "read") or not hasattr(X, "__iter__"):
        raise ImageError(f"X is {kind_of(X)}; pass a list of images, such as [X].", found=kind_of(X))
    if hasattr(X, "columns"):  # a table of pandas or polars
        if len(X.columns) != 1:
            hint = "pick the one with the images, as X['path'] or with a ColumnTransformer."
            message = f"X has {len(X.columns)} columns; {hint}"
            raise ImageError(message, found=tuple(X.columns))
        return list(X[X.columns[0]])
    if not isinstance(X, np.ndarray):
        return list(X)
    if X.ndim == 2 and X.dtype.kind in "OSUT" and X.shape[1] == 1:
        return list(X[:, 0])
    if X.ndim not in (1, 3, 4) or (X.ndim == 1 and X.dtype.kind not in "OSUT"):
        message = f"X is an array of {X.dtype} with the shape {X.shape}; images are (n, H, W) or (n, H, W, C), uint8."
        raise ImageError(message, found=X.shape)
    return list(X)
