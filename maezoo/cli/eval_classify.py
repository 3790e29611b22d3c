"""`maezoo eval classify`: a classifier's answers to labelled images, scored as those of features are."""

from typing import TYPE_CHECKING, Any

from maezoo.cli.evaluate import Confusion, PerClass, Table, check_outputs, report_score, write_score
from maezoo.cli.finetuning import Classifiers, Source
from maezoo.cli.options import BatchSize, Device, Json
from maezoo.cli.screen import counted, errors, note, print_json, say

if TYPE_CHECKING:
    from maezoo.evaluation import Score
    from maezoo.training import Classifier, LabelledImages
    from maezoo.training.finetuning.validation import Answers

__all__ = ["classify"]


def classify(
    folder: Classifiers,
    source: Source,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    per_class: PerClass = False,
    predictions: Table = None,
    confusion: Confusion = None,
    as_json: Json = False,
) -> None:
    """Test a fine-tuned classifier on labelled images.

    Prints top-1 and top-5 accuracy with 95 % bootstrap intervals over the images.
    """
    check_outputs(folder, source, predictions, confusion)
    from maezoo.cli.bar import Bar
    from maezoo.training import Classifier, read_labelled
    from maezoo.training.finetuning.validation import answer

    classifier = Classifier.load(folder, device=device)
    images = read_labelled(source, classifier.classes)
    images.window = classifier.preprocess.window
    with Bar("images", len(images), shown=errors.is_terminal) as bar:
        answers = answer(
            classifier.model,
            images,
            classifier.preprocess,
            in_chans=classifier.in_chans,
            batch_size=batch_size,
            report=bar.show,
        )
    if images.unreadable:
        note(f"{counted(len(images.unreadable), 'image')} could not be read and were left out.", "yellow")
    score, top5 = _score(classifier, images, answers), _top5(answers)
    if as_json:
        print_json({**score.to_dict(), **top5, "unreadable": images.unreadable})
    else:
        report_score(score, as_json=False, per_class=per_class)
        if len(classifier.classes) > 5:
            low, high = top5["top5_interval"]
            say(f"top-5 {top5['top5']:.1%} (95 % interval {low:.1%} to {high:.1%})")
    write_score(score, predictions, confusion)


def _score(classifier: "Classifier", images: "LabelledImages", answers: "Answers") -> "Score":
    """Score the answers; the classes are called by their names."""
    import numpy as np

    from maezoo.evaluation.predictions import Predictions
    from maezoo.evaluation.score import score_predictions

    classes = np.array(classifier.classes)
    found = Predictions(
        predicted=classes[answers.logits.argmax(dim=1).numpy()],
        probabilities=answers.logits.double().softmax(dim=1).numpy(),
        classes=classes,
        ids=np.array([images.items[number].id for number in answers.numbers.tolist()]),
        labels=classes[answers.targets.numpy()],
    )
    return score_predictions("classify", found, {"classifier": classifier.name})


def _top5(answers: "Answers") -> dict[str, Any]:
    """Return the share of images whose class is among the first five answers, and its interval."""
    from maezoo.evaluation.score import bootstrap_interval

    right = int((answers.ranks() < 5).sum())
    return {"top5": right / len(answers), "top5_interval": list(bootstrap_interval(right, len(answers)))}
