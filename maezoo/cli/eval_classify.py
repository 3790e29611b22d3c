"""`maezoo eval classify`: a classifier's answers to labelled images."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.cli.finetuning import Classifiers, Source
from maezoo.cli.options import BatchSize, Device, Json
from maezoo.cli.screen import counted, errors, note, print_json, say, show_table

if TYPE_CHECKING:
    from maezoo.training import Classifier
    from maezoo.training.validation import Answers

__all__ = ["classify"]


def classify(
    folder: Classifiers,
    source: Source,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    per_class: Annotated[bool, typer.Option("--per-class", help="Show the accuracy of each class.")] = False,
    as_json: Json = False,
) -> None:
    """Let a fine-tuned classifier answer to labelled images.

    The answers are compared with the labels: top-1 and top-5 with 95 % bootstrap intervals over the images.
    """
    from maezoo.cli.bar import Bar
    from maezoo.training import Classifier, read_labelled
    from maezoo.training.validation import answer

    classifier = Classifier.load(folder, device=device)
    images = read_labelled(source, classifier.classes)
    with Bar("images", len(images), shown=errors.is_terminal) as bar:
        answers = answer(
            classifier.model,
            images,
            classifier.preprocess,
            in_chans=classifier.in_chans,
            batch_size=batch_size,
            report=bar.show,
        )
    summary = _summary(classifier, answers) | {"unreadable": images.unreadable}
    if images.unreadable:
        note(f"{counted(len(images.unreadable), 'image')} could not be read and were left out.", "yellow")
    if as_json:
        print_json(summary)
        return
    for places in ("top1", "top5") if len(classifier.classes) > 5 else ("top1",):
        low, high = summary[f"{places}_interval"]
        say(f"{places[:3]}-{places[3:]} {summary[places]:.1%} (95 % interval {low:.1%} to {high:.1%})")
    mean = summary["class_accuracy"]
    say(f"{counted(len(answers), 'image')}, {summary['classes']} classes, mean over classes {mean:.1%}")
    if per_class:
        show_table(
            ("class", ">images", ">top-1"),
            [(row["label"], str(row["images"]), f"{row['top1']:.1%}") for row in summary["per_class"]],
        )


def _summary(classifier: "Classifier", answers: "Answers") -> dict[str, Any]:
    """Return the numbers as plain data."""
    from maezoo.evaluation.score import bootstrap_interval

    ranks = answers.ranks()
    shares: dict[str, Any] = {}
    for places in (1, 5):
        right = int((ranks < places).sum())
        shares[f"top{places}"] = right / len(answers)
        shares[f"top{places}_interval"] = bootstrap_interval(right, len(answers))
    rows: list[dict[str, Any]] = []
    for number, label in enumerate(classifier.classes):
        of_class = ranks[answers.targets == number]
        if len(of_class):
            rows.append({"label": label, "images": len(of_class), "top1": (of_class < 1).float().mean().item()})
    mean = sum(row["top1"] for row in rows) / len(rows)
    settings = {"model": classifier.name, "classes": len(classifier.classes), "images": len(answers)}
    return {**settings, **shares, "loss": answers.loss, "class_accuracy": mean, "per_class": rows}
