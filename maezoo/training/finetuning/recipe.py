"""The numbers of fine-tuning: the paper's for each size, and milder, shorter ones for small data sets."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from maezoo.arguments import check_kinds
from maezoo.errors import ArgumentError
from maezoo.images.preprocessing import as_window
from maezoo.model.variants import Variant
from maezoo.vocabulary import Window

__all__ = ["FinetuneRecipe", "RecipeKind", "finetune_recipe"]

RecipeKind = Literal["auto", "paper", "short"]

_MANY = 100_000  # images from which "auto" takes the paper's recipe
_SHORT_VIEWS = 8_000  # that a small set is shown in all, in 20 to 50 epochs
_SMALL_WIDTH = 384  # of encoders that take a higher rate, and no drop path, for few images
_SIZES = ((12, 100, 5e-4, 0.65, 0.1), (24, 50, 1e-3, 0.75, 0.2), (math.inf, 50, 1e-3, 0.75, 0.3))
"""Rows of FAIR's FINETUNE.md for ViT-B, L and H: most blocks, epochs, base rate, layer decay, drop path."""


@dataclass(frozen=True)
class FinetuneRecipe:
    """All that decides the result of fine-tuning, apart from the images and the weights; the defaults are ViT-B's.

    The numbers are those of the paper's appendix A.1 and of FAIR's code, https://github.com/facebookresearch/mae.

    Attributes:
        epochs: times that each image is shown.
        warmup_epochs: epochs in which the rate climbs from zero, among these.
        batch_size: images in a step.
        optimizer: `"adamw"`, or `"lars"` as in the published linear probe.
        base_lr: the rate for 256 images a step; the effective rate is `base_lr * batch_size / 256`.
        min_lr: the rate that the half cosine ends at.
        layer_decay: each block's rate is the next one's times this; the head has the full rate.
        weight_decay: decoupled decay of matrices; biases, norms, tokens and positions have none.
        clip: largest norm of the gradient; 0 for any.
        drop_path: share of images that skip the last block's branches; it grows from 0 at the first block.
        pool: `"mean"` pools the patches and puts a fresh norm after that, in place of the trained one, as the paper
            does; `"cls"` takes the class token and keeps the trained norm.
        tune: what is trained: `"all"`, `"head"`, `"last-block"`, or a number of last blocks such as `"4"`.
        lora: rank of low-rank updates (LoRA) that are trained in place of the blocks' own matrices; 0 for none.
        crop: smallest and largest share of the image's area in a random resized crop.
        augment: timm's name of a RandAugment policy; empty for none.
        erase: probability that a rectangle is replaced by noise.
        mixup: parameter of mixup; 0 for none.
        cutmix: parameter of CutMix; 0 for none.
        smoothing: of the labels.
        crop_pct: share of the resized image that tests look at.
        ema: decay of the averaged weights that are kept in the end; 0 keeps the last ones.
        img_size: side of the input in pixels; the weights' own when `None`.
        window: which values of pictures of more than 8 bits become black and white, see `maezoo.create`; as the weights
            have it when `None`.
        seed: of the head, the order, the augmentations and the validation split.
        precision: `"auto"`, `"float32"` or `"bfloat16"` (autocast; weights and optimizer stay in float32).
    """

    epochs: int = 100
    warmup_epochs: float = 5.0
    batch_size: int = 1024
    optimizer: Literal["adamw", "lars"] = "adamw"
    base_lr: float = 5e-4
    min_lr: float = 1e-6
    layer_decay: float = 0.65
    weight_decay: float = 0.05
    clip: float = 0.0
    drop_path: float = 0.1
    pool: Literal["mean", "cls"] = "mean"
    tune: str = "all"
    lora: int = 0
    crop: tuple[float, float] = (0.08, 1.0)
    augment: str = "rand-m9-mstd0.5-inc1"
    erase: float = 0.25
    mixup: float = 0.8
    cutmix: float = 1.0
    smoothing: float = 0.1
    crop_pct: float = 0.875
    ema: float = 0.0
    img_size: int | None = None
    window: Window | None = None
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_kinds(self)
        object.__setattr__(self, "tune", str(self.tune))  # a number of blocks may be given as one
        object.__setattr__(self, "window", None if self.window is None else as_window(self.window))
        checks = {
            "epochs": isinstance(self.epochs, int) and self.epochs >= 1,
            "warmup_epochs": 0 <= self.warmup_epochs <= self.epochs,
            "batch_size": isinstance(self.batch_size, int)
            and self.batch_size >= (2 if self.tune == "head" else 1)
            and not (self.mixes and self.batch_size % 2),
            "optimizer": self.optimizer in ("adamw", "lars"),
            "base_lr": 0 < self.base_lr < math.inf,
            "min_lr": 0 <= self.min_lr < math.inf,
            "layer_decay": 0 < self.layer_decay <= 1,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "clip": 0 <= self.clip < math.inf,
            "drop_path": 0 <= self.drop_path < 1,
            "pool": self.pool in ("mean", "cls"),
            "tune": self.tune in ("all", "head", "last-block") or (self.tune.isdecimal() and self.tune != "0"),
            "lora": isinstance(self.lora, int) and self.lora >= 0 and not (self.lora and self.tune != "all"),
            "crop": 0 < self.crop[0] <= self.crop[1] <= 1,
            "erase": 0 <= self.erase <= 1,
            "mixup": self.mixup >= 0,
            "cutmix": self.cutmix >= 0,
            "smoothing": 0 <= self.smoothing < 1,
            "crop_pct": 0 < self.crop_pct <= 1,
            "ema": 0 <= self.ema < 1,
            "img_size": self.img_size is None or self.img_size >= 1,
            "precision": self.precision in ("auto", "float32", "bfloat16"),
        }
        for name, fine in checks.items():
            if not fine:
                found = getattr(self, name)
                why = {
                    "batch_size": ": mixup and CutMix need an even number of images; tune='head' two or more",
                    "lora": ": LoRA takes a rank of 1 or more, and the place of tune='all'",
                    "warmup_epochs": f": it lies among the {self.epochs} epochs",
                }.get(name, "; see maezoo.training.FinetuneRecipe")
                raise ArgumentError(f"{name}={found!r} is out of range{why}.", found=found)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed."""
        return self.mixup > 0 or self.cutmix > 0

    def tuned_blocks(self, depth: int) -> int:
        """Return how many of an encoder's last blocks are trained.

        Raises:
            ArgumentError: it has fewer blocks than are to be trained.

        Example:
            >>> FinetuneRecipe(tune="last-block").tuned_blocks(12), FinetuneRecipe().tuned_blocks(12)
            (1, 12)
        """
        words = {"all": depth, "head": 0, "last-block": 1}
        blocks = words[self.tune] if self.tune in words else int(self.tune)
        if blocks > depth:
            raise ArgumentError(f"tune={self.tune!r}: the encoder has {depth} blocks.", expected=depth, found=blocks)
        return blocks

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, lists for tuples, as JSON would give it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def finetune_recipe(variant: Variant, images: int, kind: RecipeKind = "auto", **changes: Any) -> FinetuneRecipe:
    """Return the default recipe for an architecture and a number of images.

    Args:
        variant: the architecture; other sizes than the published ones take the row with their number of blocks.
        images: training images.
        kind: `"paper"`: the published numbers; with `tune="head"` those of the linear probe. `"short"`: for small data
            sets, fewer epochs, smaller batches, milder augmentation. `"auto"`: short below 100,000 images.
        **changes: fields of `FinetuneRecipe` that are to differ.

    Raises:
        ArgumentError: no such field or kind, or a value out of range.

    Example:
        >>> from maezoo.model import find_variant
        >>> recipe = finetune_recipe(find_variant("mae_vit_large"), 1_281_167)
        >>> recipe.epochs, recipe.base_lr, recipe.layer_decay, recipe.drop_path
        (50, 0.001, 0.75, 0.2)
    """
    known = [field.name for field in fields(FinetuneRecipe)]
    for name in changes:
        if name not in known:
            raise ArgumentError.for_choice("a field of FinetuneRecipe", name, known)
    if kind not in ("auto", "paper", "short"):
        raise ArgumentError.for_choice("recipe", kind, ("auto", "paper", "short"))
    paper = kind == "paper" or (kind == "auto" and images >= _MANY)
    head = changes.get("tune") == "head"
    start = (_paper_probe() if head else _paper(variant)) if paper else _short(variant, images, head=head)
    if changes.get("lora"):
        start = replace(start, layer_decay=1.0)  # each update starts from zero: none of them is to be protected
    if "epochs" in changes and "warmup_epochs" not in changes:
        changes = {**changes, "warmup_epochs": start.warmup_epochs * changes["epochs"] / start.epochs}
    return replace(start, **changes)


def _paper(variant: Variant) -> FinetuneRecipe:
    """Return the published recipe of a size."""
    row = next(row for row in _SIZES if variant.depth <= row[0])
    return FinetuneRecipe(epochs=int(row[1]), base_lr=row[2], layer_decay=row[3], drop_path=row[4])


def _paper_probe() -> FinetuneRecipe:
    """Return the published linear probe, with a batch that fits one GPU: its own was 16,384."""
    return FinetuneRecipe(
        epochs=90,
        warmup_epochs=10,
        optimizer="lars",
        base_lr=0.1,
        min_lr=0.0,
        weight_decay=0.0,
        drop_path=0.0,
        pool="cls",
        tune="head",
        augment="",
        erase=0.0,
        mixup=0.0,
        cutmix=0.0,
        smoothing=0.0,
    )


def _short(variant: Variant, images: int, *, head: bool) -> FinetuneRecipe:
    """Return a recipe for few images, by our own experiments with the bundled model (docs/finetuning.md)."""
    epochs = min(50, max(20, round(_SHORT_VIEWS / max(1, images))))
    batch_size, small = 32 if images >= 1000 else 16, variant.embed_dim < _SMALL_WIDTH
    mild = FinetuneRecipe(
        epochs=epochs,
        warmup_epochs=epochs / 10,
        batch_size=batch_size,
        base_lr=(1e-3 if small else 2.5e-4) * 256 / batch_size,  # the rate itself, for either batch
        layer_decay=0.75,
        clip=1.0,
        drop_path=0.0 if small else 0.1,
        crop=(0.35, 1.0),
        augment="",
        erase=0.0,
        mixup=0.0,
        cutmix=0.0,
        crop_pct=1.0,
    )
    if not head:
        return mild
    rate = 5e-3 * 256 / batch_size
    return replace(mild, base_lr=rate, weight_decay=0.0, drop_path=0.0, pool="cls", tune="head", smoothing=0.0)
