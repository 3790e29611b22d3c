"""Validation during fine-tuning, and its records in the log."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from torch import nn

from maezoo.training.finetuning.task import Finetuning
from maezoo.training.finetuning.validation import answer
from maezoo.training.run import Run
from maezoo.training.sources.labelled import LabelledImages

__all__ = ["Judge", "Validation"]

_VALIDATIONS = 6  # in a run, at most


@dataclass(frozen=True)
class Validation:
    """The results of a model on the validation images.

    Attributes:
        step: steps done.
        epoch: epochs done.
        val_accuracy: share of the images whose class was the first answer.
        val_top5: share whose class was among the first five.
        val_loss: mean cross-entropy.
        val_images: images that were read.
    """

    step: int
    epoch: float
    val_accuracy: float
    val_top5: float
    val_loss: float
    val_images: int


class Judge:
    """Validates the model in training after some epochs.

    Args:
        task: what is trained.
        run: of it.
        images: to validate on; may be none.
        validated: called with each validation.
    """

    def __init__(
        self, task: Finetuning, run: Run, images: LabelledImages, validated: Callable[[Validation], None] | None
    ) -> None:
        self.task, self.run, self.images, self.validated = task, run, images, validated
        epochs = task.recipe.epochs
        every = -(-epochs // _VALIDATIONS)  # epochs
        self.at = {run.schedule.steps * epoch // epochs: epoch for epoch in range(every, epochs, every)}

    def after_step(self, done: int) -> None:
        """Validate at the end of some epochs; the end of the run is validated on what is kept."""
        if done in self.at and not self.run.journal.has(done, "val"):
            self.validate(done, self.task.model.vit)

    def validate(self, done: int, model: nn.Module) -> Validation | None:
        """Validate a model, and write it to the log."""
        if not len(self.images):
            return None
        answers = answer(model, self.images, self.task.preprocess, in_chans=self.task.in_chans, dtype=self.run.dtype)
        epoch = done / self.run.schedule.steps * self.task.recipe.epochs
        found = Validation(done, round(epoch, 3), answers.accuracy, answers.share_within(5), answers.loss, len(answers))
        self.run.journal.write(asdict(found))
        if self.validated:
            self.validated(found)
        return found
