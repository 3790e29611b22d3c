"""Which patches a linear probe decides by: its logit, split exactly into the patches' parts."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maezoo.errors import ArgumentError
from maezoo.images.batches import ImageLikes, look_at
from maezoo.model import pool_tokens
from maezoo.progress import track

if TYPE_CHECKING:
    from maezoo.api.image_methods import ImageMethods

__all__ = ["PatchContributions", "patch_contributions"]

_TOLERANCE = 1e-5  # of the largest output of a probe that is linear


@dataclass(frozen=True, repr=False)
class PatchContributions:
    """The logits of a linear probe, as sums of one part for each patch.

    Attributes:
        patches: (B, K, h, w) float64 on the CPU, what each patch adds to each of K logits.
        class_token: (B, K), what the class token adds; 0 unless the probe was fitted on `pool="cls+mean"`.
        intercept: (K,), what is added whatever the image. A scaler's mean is part of it.
        classes: the K classes that the logits speak for, where the probe says so; of a probe of two classes with one
            logit, the second.
    """

    patches: Tensor
    class_token: Tensor
    intercept: Tensor
    classes: tuple[Any, ...] | None

    @property
    def logits(self) -> Tensor:
        """The probe's output, (B, K): the sum of all parts."""
        return self.patches.sum(dim=(2, 3)) + self.class_token + self.intercept

    def __len__(self) -> int:
        """Return the number of images B."""
        return len(self.patches)

    def __repr__(self) -> str:
        """Return shapes and classes in one line."""
        B, K, h, w = self.patches.shape
        classes = "" if self.classes is None else f", classes {', '.join(map(str, self.classes))}"
        return f"PatchContributions({B} images, {K} logits, grid {h}x{w}{classes})"


def patch_contributions(
    model: "ImageMethods",
    images: ImageLikes,
    probe: Any,
    *,
    pool: Literal["mean", "cls+mean"] = "mean",
    batch_size: int = 32,
    progress: bool = False,
) -> PatchContributions:
    """Split the logits of a linear probe on mean features into what each patch adds.

    The feature is the mean of the N patch tokens, so the logit `coef @ feature + intercept` is the sum of
    `coef @ token / N` over the patches, plus the intercept. Nothing is approximated. A token has seen the other
    patches, too: the part of a patch is what the model knows at that place, not what its pixels alone say.

    Args:
        model: any model of this package.
        images: as in `MAE.encode`.
        probe: fitted on `model.features(…, pool=pool)`: an estimator of scikit-learn with a `decision_function` or a
            `predict` of numbers, a pipeline of one with scalers or a PCA; a torch module (n, D) -> (n, K); or a pair
            (coef, intercept) of arrays (K, D) or (D,), and (K,) or a number.
        pool: that of the probe's features, `"mean"` or `"cls+mean"`. The class token alone has no patches.
        batch_size: images at a time.
        progress: show a bar.

    Raises:
        ArgumentError: the probe is not linear, takes another width, or `pool` is another word; or a saved probe was
            fitted on another pooling, or on normalised features.
        DataError: a saved probe was fitted on features of another model or preprocessing.
        ImageError, SizeError: as in `MAE.encode`.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> images, coef = torch.rand(2, 3, 64, 96), torch.ones(5, 192)
        >>> parts = patch_contributions(model, images, (coef, torch.zeros(5)))
        >>> parts.patches.shape
        torch.Size([2, 5, 8, 12])
        >>> torch.allclose(parts.logits, (model.features(images, pool="mean") @ coef.T).double(), atol=1e-3)
        True
    """
    if pool not in ("mean", "cls+mean"):
        raise ArgumentError.for_choice("pool", pool, ("mean", "cls+mean"))
    _check_record(probe, model, pool)
    D, prefix = model.embed_dim, model.num_prefix_tokens
    coef, intercept = _linear_map(probe, D * (2 if pool == "cls+mean" else 1))
    of_class = coef[:, :D] if pool == "cls+mean" else torch.zeros_like(coef)
    of_patches = coef[:, -D:]
    patches, class_token = [], []
    given = look_at(images)
    with torch.no_grad(), track(given.total, "images", show=progress) as advance:
        for batch in model.input_batches(given, batch_size):
            tokens = model.encode_tokens(batch).cpu().double()
            h, w = batch.grid_size
            parts = tokens[:, prefix:] @ of_patches.T / (h * w)  # (B, N, K)
            patches.append(parts.transpose(1, 2).reshape(len(parts), parts.shape[2], h, w))
            class_token.append(pool_tokens(tokens, "cls", prefix) @ of_class.T)
            advance(len(parts))
    classes = getattr(probe, "classes_", None)
    if classes is not None:
        classes = tuple(np.asarray(classes).tolist())
        classes = classes[1:] if len(coef) == 1 and len(classes) == 2 else classes
    return PatchContributions(torch.cat(patches), torch.cat(class_token), intercept, classes)


def _check_record(probe: Any, model: "ImageMethods", pool: str) -> None:
    """Refuse a saved probe whose record says that its logits are not those of these features."""
    record = getattr(probe, "about", None)
    if not (isinstance(record, Mapping) and {"model", "pool"} <= record.keys()):
        return
    if record["pool"] != pool or record.get("normalize", False):
        found = f"{record['pool']!r}" + (", normalised" if record.get("normalize", False) else "")
        raise ArgumentError(
            f"the probe was fitted on features with pool={found}; the parts are those of pool={pool!r}. Extract with "
            "--pool mean or cls+mean, without --normalize, fit a probe on that, and pass the same pool=.",
            expected=record["pool"],
            found=pool,
        )
    probe.check_model(model)


def _linear_map(probe: Any, width: int) -> tuple[Tensor, Tensor]:
    """Return a probe's coefficients (K, width) and intercept (K,), float64 on the CPU."""
    if isinstance(probe, tuple | list) and len(probe) == 2:
        coef, intercept = (_array(part) for part in probe)
        coef = np.atleast_2d(coef)
        if coef.ndim != 2 or coef.shape[1] != width or intercept.size not in (1, len(coef)):
            raise ArgumentError(
                f"coef has the shape (K, {width}) and intercept (K,) for these features; got {coef.shape} and "
                f"{intercept.shape}.",
                expected=("K", width),
                found=coef.shape,
            )
        return torch.from_numpy(coef), torch.from_numpy(np.broadcast_to(intercept.ravel(), len(coef)).copy())
    apply = _function_of(probe)
    try:
        zero = apply(np.zeros((1, width)))  # (1, K)
        coef = (apply(np.eye(width)) - zero).T  # (K, width)
    except (ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"the probe does not take features of width {width}: {error} Fit it on model.features(…, pool=…) with the "
            "same pool.",
            expected=width,
        ) from error
    points = np.random.default_rng(0).normal(size=(16, width))
    found, expected = apply(points), points @ coef.T + zero
    if not np.allclose(found, expected, rtol=0, atol=_TOLERANCE * max(1.0, float(np.abs(expected).max()))):
        raise ArgumentError(
            f"{type(probe).__name__} is not linear in the features, so it cannot be split into patches; "
            "figures.patch_occlusion measures any score."
        )
    return torch.from_numpy(np.ascontiguousarray(coef)), torch.from_numpy(zero[0])


def _function_of(probe: Any) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a probe as a function (n, D) -> (n, K) of float64."""
    if isinstance(probe, nn.Module):
        module = copy.deepcopy(probe).cpu().double().eval()  # in double precision, and not in training mode

        def run(x: NDArray[np.float64]) -> NDArray[np.float64]:
            with torch.no_grad():
                return _array(module(torch.from_numpy(x))).reshape(len(x), -1)

        return run
    call = getattr(probe, "decision_function", None)
    if call is None and not hasattr(probe, "predict_proba"):  # a regression; classifiers predict no logits
        call = getattr(probe, "predict", None)
    if call is None:
        raise ArgumentError(
            "a probe is a fitted estimator of scikit-learn with a decision_function, a torch module, or a pair (coef, "
            f"intercept); got {type(probe).__name__}."
        )
    return lambda x: _array(call(x)).reshape(len(x), -1)


def _array(values: Any) -> NDArray[np.float64]:
    """Return numbers as float64, from NumPy, torch or lists."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
