"""`maezoo eval knn` and `maezoo eval linear`: how much extracted features tell of labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maezoo.cli.apply import apply
from maezoo.cli.options import Json
from maezoo.cli.outputs import check_figure_name, check_no_input
from maezoo.cli.screen import counted, note, print_json, say, show_table
from maezoo.files import written_whole
from maezoo.paths import user_path

if TYPE_CHECKING:
    from maezoo.evaluation import Score

__all__ = ["Confusion", "PerClass", "Table", "check_outputs", "commands", "report_score", "write_score"]

_PATH: dict[str, Any] = {"parser": user_path, "metavar": "PATH"}
Train = Annotated[
    Path, typer.Argument(help="Labelled features: a folder of `maezoo extract`, .parquet or .npz.", parser=user_path)
]
Test = Annotated[
    Path | None, typer.Argument(help="Labelled features of the images to predict; none with --folds.", parser=user_path)
]
Labels = Annotated[
    Literal["column", "folder"], typer.Option(help="Labels from the stored column, or the images' folders.")
]
Folds = Annotated[int | None, typer.Option(min=2, help="Cross-validate TRAIN alone in so many folds.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the split into folds.")]
Overlap = Annotated[
    Literal["refuse", "drop", "keep"], typer.Option(help="Images in both sets: refuse, drop from training, or keep.")
]
PerClass = Annotated[bool, typer.Option("--per-class", help="Print precision, recall and support of each class.")]
Table = Annotated[
    Path | None, typer.Option("--predictions", help="Write id, label, predicted, probability as CSV.", **_PATH)
]
Confusion = Annotated[Path | None, typer.Option(help="Draw the confusion matrix; .png, .pdf, .svg, …", **_PATH)]

commands = typer.Typer(no_args_is_help=True, help="Measure features by kNN or a linear probe.")


@commands.command()
def knn(
    train: Train,
    test: Test = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of neighbours.")] = 20,
    temperature: Annotated[float, typer.Option(help="Temperature of the neighbours' votes.")] = 0.07,
    folds: Folds = None,
    seed: Seed = 0,
    labels: Labels = "column",
    overlap: Overlap = "refuse",
    per_class: PerClass = False,
    predictions: Table = None,
    confusion: Confusion = None,
    as_json: Json = False,
) -> None:
    """Predict each test image by a vote of its nearest neighbours.

    Neighbours are training images, by cosine similarity; nearer ones weigh more.
    """
    _check_sets(train, test, folds)
    check_outputs(train, test, predictions, confusion)
    from maezoo.evaluation import cross_validate, read_features
    from maezoo.evaluation import knn as run

    features = read_features(train, labels=labels)
    if test is None:
        score = cross_validate(
            features, run, folds=folds or 0, seed=seed, k=k, temperature=temperature, overlap=overlap
        )
    else:
        score = run(features, read_features(test, labels=labels), k=k, temperature=temperature, overlap=overlap)
    report_score(score, as_json, per_class)
    write_score(score, predictions, confusion)


@commands.command()
def linear(
    train: Train,
    test: Test = None,
    strength: Annotated[
        float | None,
        typer.Option("-C", "--strength", help="Inverse of the regularisation. [chosen on a held-out fifth]"),
    ] = None,
    max_iterations: Annotated[int, typer.Option(min=1, help="Iterations of the solver, at most.")] = 1000,
    folds: Folds = None,
    seed: Seed = 0,
    labels: Labels = "column",
    overlap: Overlap = "refuse",
    per_class: PerClass = False,
    predictions: Table = None,
    confusion: Confusion = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the probe, fitted on TRAIN, as .safetensors; see `apply`.", **_PATH)
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a logistic regression on the training features.

    Features are standardised first. The accuracy is that on the test images.
    """
    _check_sets(train, test, folds)
    check_outputs(train, test, predictions, confusion, save)
    from maezoo.evaluation import Probe, cross_validate, read_features
    from maezoo.evaluation import linear as run
    from maezoo.evaluation.checks import separated

    solver: dict[str, Any] = {"strength": strength, "max_iterations": max_iterations}
    features = read_features(train, labels=labels)
    if test is None:
        score = cross_validate(features, run, folds=folds or 0, seed=seed, overlap=overlap, **solver)
        probe = Probe.fit(features, **solver) if save else None
    else:
        tested = read_features(test, labels=labels)
        probe = Probe.fit(separated(features, tested, overlap), **solver)
        score = probe.score(tested)
    report_score(score, as_json, per_class)
    write_score(score, predictions, confusion)
    if save and probe:
        probe.save(save)
        note(f"{save}  {probe!r}; apply it: maezoo eval apply {save} IMAGES")


commands.command("apply")(apply)


def _check_sets(train: Path, test: Path | None, folds: int | None) -> None:
    """Refuse neither test features nor folds, and both."""
    if test is None and folds is None:
        raise typer.BadParameter(f"name the features to test on, or score {train} alone with --folds 5.")
    if test is not None and folds is not None:
        raise typer.BadParameter("--folds splits TRAIN alone; leave out the test features, or --folds.")


def check_outputs(
    train: Path, test: Path | None, predictions: Path | None, confusion: Path | None, save: Path | None = None
) -> None:
    """Refuse names that stand for no format, and inputs, before any work is done."""
    from maezoo.evaluation.predictions import check_table_name
    from maezoo.evaluation.probe_files import check_probe_name

    if confusion is not None:
        check_figure_name(confusion, "--confusion")
    for check, name in ((check_table_name, predictions), (check_probe_name, save)):
        if name is not None:
            check(name)
    for name in filter(None, (predictions, confusion, save)):
        check_no_input(name, filter(None, (train, test)))


def report_score(score: "Score", as_json: bool, per_class: bool) -> None:
    """Print a score for people or for programs."""
    if as_json:
        print_json(score.to_dict())
        return
    from maezoo.evaluation.features import examples
    from maezoo.evaluation.wording import settings_text, share_text

    say(str(score))
    many = ", mean over one class against the rest" if score.classes > 2 else ""
    area = "" if score.auc is None else f", AUC {score.auc:.3f}{many}"
    say(f"{score.classes} classes, balanced accuracy {score.balanced_accuracy:.1%}{area}")
    if score.folds:
        say("folds " + ", ".join(f"{accuracy:.1%}" for accuracy in score.folds))
    say(settings_text(score.settings))
    if score.unknown:
        images = sum(each.support for each in score.per_class if each.label in score.unknown)
        lacking = f"{counted(images, 'test image')} with labels that training lacks: {examples(score.unknown)}"
        note(f"counted as wrong: {lacking}")
    if per_class:
        show_table(
            ("class", ">precision", ">recall", ">support"),
            [
                (str(each.label), share_text(each.precision), share_text(each.recall), str(each.support))
                for each in score.per_class
            ],
        )


def write_score(score: "Score", predictions: Path | None, confusion: Path | None) -> None:
    """Write the files that were asked for."""
    if predictions:
        score.predictions.save(predictions)
        note(f"{predictions}  {score.total:,} predictions")
    if confusion:
        from maezoo.figures import plot_confusion
        from maezoo.figures.canvas import encode_figure

        figure = plot_confusion(score.confusion, [str(each.label) for each in score.per_class])
        picture = encode_figure(figure, confusion.suffix)
        with written_whole(confusion) as temporary:
            temporary.write_bytes(picture)
        note(f"{confusion}  {len(score.per_class)} x {len(score.per_class)} classes")
