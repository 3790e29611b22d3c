"""The linear probe: fitted once, then scored, saved, and applied to new features or images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from maezoo.errors import DataError
from maezoo.evaluation.checks import SAME, check_classes, check_same_origin
from maezoo.evaluation.features import FeaturesLike, LabelledFeatures, check_vectors, to_vectors
from maezoo.evaluation.fitting import Choice, check_solver, choose_strength, fit, probabilities_of
from maezoo.evaluation.predictions import Predictions
from maezoo.evaluation.probe_files import ProbeFile, read_probe, write_probe
from maezoo.evaluation.probe_model import as_recorded, check_model, open_model
from maezoo.evaluation.reading import FeatureTable, labelled, read_table
from maezoo.evaluation.score import Score, score_predictions
from maezoo.evaluation.wording import settings_text
from maezoo.notebooks import html_table
from maezoo.paths import user_path

if TYPE_CHECKING:
    from maezoo.api.image_methods import ImageMethods
    from maezoo.images.batches import ImageLikes

__all__ = ["Probe"]


@dataclass(frozen=True, eq=False, repr=False)
class Probe:
    """A linear classifier of features. `Probe.fit` and `Probe.load` make it.

    The score of class c for a feature vector x of width D is `((x - mean) / scale) @ coef[c] + intercept[c]`; the class
    with the highest score is predicted, and a softmax over the classes gives the probabilities. Of two classes both
    have a row, each with half of scikit-learn's coefficients, one of them negated.

    Attributes:
        coef: (K, D) float32, one row for each class.
        intercept: (K,) float32.
        mean: (D,) float32, of the training features.
        scale: (D,) float32, their standard deviation.
        classes: (K,) labels, sorted.
        about: the model, its weights, preprocessing and pooling, as far as the training features tell.
        settings: `strength` (scikit-learn's `C`), `chosen` (how it was), `converged`, and `images` (fitted on).

    Example:
        >>> probe = Probe.fit(([[0.0], [0.1], [1.0], [1.1]], ["low", "low", "high", "high"]), strength=10.0)
        >>> probe.predict([[0.05], [2.0]]).predicted.tolist()
        ['low', 'high']
    """

    coef: NDArray[np.float32]
    intercept: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    classes: NDArray[Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(cls, train: FeaturesLike, *, strength: float | None = None, max_iterations: int = 1000) -> "Probe":
        """Fit the classifier on labelled features.

        Args:
            train: `LabelledFeatures`, `(X, y)`, or the path of a file or folder.
            strength: inverse of the L2 regularisation, scikit-learn's `C`. `None` tries 1e-4, 1e-3 … 10 on a held-out
                fifth of the images until it gets worse.
            max_iterations: of the solver.

        Raises:
            DataError: unusable features, or labels of one class only.
            ArgumentError: strength or max_iterations is not positive.
            MissingExtraError: scikit-learn is not installed.
        """
        check_solver(strength, max_iterations)
        train = labelled(train)
        check_classes(train.labels, train.labels)
        classes, targets = np.unique(train.labels, return_inverse=True)
        mean, scale = train.vectors.mean(axis=0), np.sqrt(train.vectors.var(axis=0) + 1e-6)
        x = (train.vectors - mean) / scale
        choice = choose_strength(x, targets, max_iterations) if strength is None else Choice(float(strength), "given")
        model, converged = fit(x, targets, choice.strength, max_iterations)
        coef, intercept = model.coef_, model.intercept_
        if len(classes) == 2:
            coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        return cls(
            coef.astype(np.float32),
            intercept.astype(np.float32),
            mean.astype(np.float32),
            scale.astype(np.float32),
            classes,
            {key: train.about[key] for key in SAME if key in train.about},
            {"strength": choice.strength, "chosen": choice.chosen, "converged": converged, "images": len(train)},
        )

    def predict(
        self, features: "ArrayLike | Tensor | LabelledFeatures | str | Path", *, ids: Sequence[str] | None = None
    ) -> Predictions:
        """Predict the label of each feature vector.

        Args:
            features: (n, D) numbers, as `model.features(images, pool=…)` gives them; labelled features; or the path of
                a folder of `maezoo extract`, a Parquet file or an `.npz`, with labels or without.
            ids: (n,) names of the images; those of the features, else row numbers, when `None`.

        Raises:
            DataError: another width, model or pooling than the probe's, a value that is not finite, or another number
                of ids.
        """
        table = _table(features)
        vectors = table.vectors
        if vectors.ndim != 2 or vectors.shape[1] != self.coef.shape[1]:
            raise DataError(
                f"this probe takes features (n, {self.coef.shape[1]}){self._origin()}; got {vectors.shape}.",
                expected=self.coef.shape[1],
                found=vectors.shape,
            )
        check_vectors(vectors)
        check_same_origin(self.about, table.about, "the probe's training features and these")
        scores = self.decision_function(vectors)
        names = table.ids if ids is None else np.array(ids, dtype=np.str_)
        if names is not None and names.shape != (len(vectors),):
            raise DataError(f"ids are (n,), one for each of {len(vectors)} rows; got {names.shape}.")
        return Predictions(
            self.classes[scores.argmax(axis=1)],
            probabilities_of(scores),
            self.classes,
            np.arange(len(vectors)) if names is None else names,
            table.labels,
        )

    def decision_function(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the scores (n, K) of features (n, D), unchecked and in their own precision.

        The name is scikit-learn's, and so is that of `classes_`: what takes its classifiers takes a probe. Of two
        classes there are two columns.
        """
        scores: NDArray[Any] = ((X - self.mean) / self.scale) @ self.coef.T + self.intercept
        return scores

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, under scikit-learn's name."""
        return self.classes

    def predict_images(
        self, images: "ImageLikes", model: "ImageMethods | None" = None, *, batch_size: int = 32, progress: bool = False
    ) -> Predictions:
        """Predict the label of each image, with the model and the pooling of the training features.

        Args:
            images: as in `MAE.features`.
            model: the model whose features the probe was fitted on; made by its name when `None`.
            batch_size: images at a time.
            progress: show a bar.

        Raises:
            DataError: another model than the probe's, or the probe does not know its model or pooling.
            ImageError: an image cannot be read.
        """
        model = self.open_model() if model is None else model
        self.check_model(model)
        vectors = model.features(images, pool=self.about["pool"], batch_size=batch_size, progress=progress)
        return self.predict(as_recorded(self.about, to_vectors(vectors)))

    def open_model(self, device: str = "auto") -> "ImageMethods":
        """Create the model of the training features, without its decoder.

        Raises:
            DataError: the probe does not know which it was.
        """
        return open_model(self.about, device)

    def check_model(self, model: "ImageMethods") -> None:
        """Refuse another model than that of the training features.

        Raises:
            DataError: another name, weights' file or preprocessing; or the probe does not know its model or pooling.
        """
        check_model(self.about, model)

    def score(self, test: FeaturesLike) -> Score:
        """Predict labelled features and compare.

        Args:
            test: `LabelledFeatures`, `(X, y)`, or the path of a file or folder; of other images than the probe was
                fitted on, which is not checked here (`linear` does).

        Raises:
            DataError: as in `predict`; or labels of which the probe has none.
        """
        test = labelled(test)
        check_classes(self.classes, test.labels)
        return score_predictions("linear", self.predict(test), self.settings)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: coefficients and scaling as tensors, the rest as JSON in its header.

        Raises:
            ArgumentError: the name does not end in `.safetensors`.
            DataError: labels that are neither text nor whole numbers.
            OSError: it cannot be written.
        """
        write_probe(user_path(path), ProbeFile(self._arrays(), self.classes, self.about, self.settings))

    @classmethod
    def load(cls, path: str | Path) -> "Probe":
        """Read what `save` wrote.

        Raises:
            DataError: no such file, or not a probe.
        """
        held = read_probe(user_path(path))
        return cls(**held.arrays, classes=held.classes, about=held.about, settings=held.settings)

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        return {"coef": self.coef, "intercept": self.intercept, "mean": self.mean, "scale": self.scale}

    def _origin(self) -> str:
        named = [str(self.about[key]) for key in ("model", "pool") if key in self.about]
        return f" of {', '.join(named)}" if named else ""

    def __repr__(self) -> str:
        return f"Probe({len(self.classes)} classes, width {self.coef.shape[1]}{self._origin()})"

    def _repr_html_(self) -> str:
        rows = [
            ("classes", f"{len(self.classes)}"),
            ("width", f"{self.coef.shape[1]}"),
            *((key, str(self.about[key])) for key in ("model", "pool") if key in self.about),
            *((("settings", settings_text(self.settings)),) if "strength" in self.settings else ()),
        ]
        return html_table(rows, title="probe")


def _table(features: "ArrayLike | Tensor | LabelledFeatures | str | Path") -> FeatureTable:
    """Return features of any kind that a probe is applied to."""
    if isinstance(features, LabelledFeatures):
        return FeatureTable(features.vectors, features.labels, features.ids, features.about)
    if isinstance(features, str | Path):
        return read_table(user_path(features))
    return FeatureTable(to_vectors(features), None, None, {})
