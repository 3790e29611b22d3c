"""`maezoo eval knn` and `maezoo eval linear`: how much extracted features know of labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from maezoo.cli.eval_classify import classify
from maezoo.cli.options import Json
from maezoo.cli.screen import print_json, say

if TYPE_CHECKING:
    from maezoo.evaluation import LabelledFeatures, Score

__all__ = ["commands"]

Train = Annotated[Path, typer.Argument(help="Labelled features: a folder of `maezoo extract`, .parquet or .npz.")]
Test = Annotated[Path, typer.Argument(help="Labelled features of the images to predict.")]
Labels = Annotated[
    Literal["column", "folder"], typer.Option(help="Labels from the stored column, or the images' folders.")
]

commands = typer.Typer(no_args_is_help=True, help="Measure features by kNN or a linear probe.")
commands.command("classify")(classify)


@commands.command()
def knn(
    train: Train,
    test: Test,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of neighbours.")] = 20,
    temperature: Annotated[float, typer.Option(help="Temperature of the neighbours' votes.")] = 0.07,
    labels: Labels = "column",
    as_json: Json = False,
) -> None:
    """Predict each test image by a vote of its nearest neighbours.

    Neighbours are training images, by cosine similarity; nearer ones weigh more.
    """
    from maezoo.evaluation import knn as run

    _report(run(*_read(train, test, labels), k=k, temperature=temperature), as_json)


@commands.command()
def linear(
    train: Train,
    test: Test,
    strength: Annotated[
        float | None,
        typer.Option("-C", "--strength", help="Inverse of the regularisation. [chosen on a held-out fifth]"),
    ] = None,
    max_iterations: Annotated[int, typer.Option(min=1, help="Iterations of the solver, at most.")] = 1000,
    labels: Labels = "column",
    as_json: Json = False,
) -> None:
    """Fit a logistic regression on the training features.

    Features are standardised first. The accuracy is that on the test images.
    """
    from maezoo.evaluation import linear as run

    _report(run(*_read(train, test, labels), strength=strength, max_iterations=max_iterations), as_json)


def _read(train: Path, test: Path, labels: Literal["column", "folder"]) -> "tuple[LabelledFeatures, LabelledFeatures]":
    """Read both sets of features."""
    from maezoo.evaluation import read_features

    return read_features(train, labels=labels), read_features(test, labels=labels)


def _report(score: "Score", as_json: bool) -> None:
    """Print a score for people or for programs."""
    if as_json:
        print_json(score.to_dict())
        return
    say(str(score))
    say(f"{score.classes} classes, mean over classes {score.class_accuracy:.1%}; {_settings(score.settings)}")


def _settings(settings: Mapping[str, object]) -> str:
    """Write the settings of a score.

    Example:
        >>> _settings({"k": 20, "similarity": "cosine"}), _settings({"strength": 1.0, "searched": True})
        ('k 20, similarity cosine', 'C = 1.0 (chosen on a held-out fifth)')
    """
    if "strength" not in settings:
        return ", ".join(f"{name} {value}" for name, value in settings.items())
    chosen = " (chosen on a held-out fifth)" if settings.get("searched") else ""
    unsolved = "" if settings.get("converged", True) else "; the solver did not converge: raise --max-iterations"
    return f"C = {settings['strength']}{chosen}{unsolved}"
