"""The numbers of a pretraining run, and the learning rate at each step that follows from them."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from maezoo.arguments import check_kinds
from maezoo.errors import ArgumentError
from maezoo.masks.cells import CELL
from maezoo.vocabulary import MASK_STRATEGIES, TARGETS, MaskStrategy, Target

__all__ = ["Recipe"]

_PAPER_WIDTH = 768  # of ViT-B, the smallest encoder in the paper
_PAPER_RATE = 2.4e-3  # 1.5e-4 for 256 images, at 4,096 (paper, table 8)
_COUNTS = ("in_chans", "patch_size", "decoder_dim", "decoder_depth", "decoder_heads")


@dataclass(frozen=True)
class Recipe:
    """All that decides a run's result, apart from the images (paper, table 8, scaled down where noted).

    Attributes:
        model: architecture name; empty for that of `init`, or `"mae_vit_tiny"`.
        img_size: (H, W) of the crops in pixels; as `init` or the architecture has it when `None`, like the next ones.
        in_chans: channels of the images; 1 makes pictures grey.
        patch_size: side of a patch in pixels.
        decoder_dim: width of the decoder.
        decoder_depth: its blocks.
        decoder_heads: its attention heads; they divide its width.
        mean: of each channel, of pixels in [0, 1]: what is subtracted. ImageNet's for 3 and 1 channels.
        std: likewise, what then divides.
        views: images shown in all, repeats counted.
        batch_size: images in a step.
        optimizer: `"adamw"` as in the paper, or `"muon"` for the blocks' matrices with AdamW for the rest. `None`:
            Muon for encoders of less than 768 channels, as the bundled model was trained, else AdamW.
        base_lr: AdamW's rate for 256 images a step; the effective rate is `base_lr * batch_size / 256`. `None`: the
            paper's 1.5e-4, 6e-3 for encoders of less than 768 channels; an effective rate of 2.4e-3, the paper's for
            4,096 images, is not exceeded.
        muon_lr: Muon's rate for the blocks' matrices, not scaled with the batch.
        weight_decay: decoupled decay of matrices; biases, norms and tokens have none.
        betas: AdamW's.
        momentum: Muon's.
        warmup: share of the steps in which the rate climbs from zero.
        clip: largest norm of the gradient.
        mask_ratio: share of patches hidden.
        mask_strategy: which patches: `"random"`, `"block"`, `"grid"`, `"cells"`, those that the class token attends to
            (`"attention"`), or those that are hard to predict (`"hard"`); see `maezoo.training.masking.masks`.
        mask_cell: side in patches of the cells of `"cells"`.
        predict: share of the hidden patches that the decoder predicts, drawn at random; the others cost it no time.
        target: what the decoder predicts, `"pixel"` or `"normpix"`; as `init`'s decoder does, or pixels, when `None`.
        normpix_weight: weight of a second loss: the normalised pixels, predicted by a head that is dropped after
            training. Gives better features with a pixel target; 0 for none.
        crop: smallest and largest share of the image's area in a random resized crop.
        aspect: narrowest and widest aspect ratio of that crop.
        ema: decay of the averaged weights that are saved in the end; 0 saves the last ones.
        seed: of the weights, the order, the crops and the masks.
        init: weights that the run starts from: a name, `"local-dir:…"`, `"hf-hub:…"` or a path; empty for random ones.
        precision: `"auto"`, `"float32"` or `"bfloat16"` (autocast; weights and optimizer stay in float32).
    """

    model: str = ""
    img_size: tuple[int, int] | None = None
    in_chans: int | None = None
    patch_size: int | None = None
    decoder_dim: int | None = None
    decoder_depth: int | None = None
    decoder_heads: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    views: int = 1_000_000
    batch_size: int = 64
    optimizer: Literal["adamw", "muon"] | None = None
    base_lr: float | None = None
    muon_lr: float = 5e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = 0.95
    warmup: float = 0.04
    clip: float = 1.0
    mask_ratio: float = 0.75
    mask_strategy: MaskStrategy = "random"
    mask_cell: int = CELL
    predict: float = 1.0
    target: Target | None = None
    normpix_weight: float = 0.0
    crop: tuple[float, float] = (0.35, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    ema: float = 0.999
    seed: int = 0
    init: str = ""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_kinds(self)
        checks = {
            "views": self.views >= 1,
            "batch_size": self.batch_size >= 1,
            "mask_ratio": 0 < self.mask_ratio < 1,
            "mask_strategy": self.mask_strategy in MASK_STRATEGIES,
            "mask_cell": self.mask_cell >= 1,
            "predict": 0 < self.predict <= 1,
            "warmup": 0 <= self.warmup < 1,
            "ema": 0 <= self.ema < 1,
            "crop": 0 < self.crop[0] <= self.crop[1] <= 1,
            "aspect": 0 < self.aspect[0] <= self.aspect[1],
            "optimizer": self.optimizer in (None, "adamw", "muon"),
            "base_lr": self.base_lr is None or 0 <= self.base_lr < math.inf,
            "normpix_weight": self.normpix_weight >= 0,
            "target": self.target in (None, *TARGETS),
            "img_size": self.img_size is None or (len(self.img_size) == 2 and min(self.img_size) >= 1),
            "mean": self.mean is None or len(self.mean) > 0,
            "std": self.std is None or min(self.std, default=0) > 0,
            **{name: getattr(self, name) is None or getattr(self, name) >= 1 for name in _COUNTS},
            "precision": self.precision in ("auto", "float32", "bfloat16"),
        }
        for name, fine in checks.items():
            if not fine:
                found = getattr(self, name)
                raise ArgumentError(f"{name}={found!r} is out of range; see maezoo.training.Recipe.", found=found)

    @property
    def steps(self) -> int:
        """Number of optimizer steps: the views, rounded up to full batches."""
        return math.ceil(self.views / self.batch_size)

    def completed(self, embed_dim: int) -> "Recipe":
        """Return the recipe with the optimizer and the rate that it leaves open, for an encoder of this width.

        Example:
            >>> recipe = Recipe(batch_size=4096).completed(embed_dim=768)
            >>> recipe.optimizer, round(recipe.adamw_lr, 5)
            ('adamw', 0.0024)
        """
        narrow = embed_dim < _PAPER_WIDTH
        optimizer = self.optimizer or ("muon" if narrow else "adamw")
        usual = min(6e-3 if narrow else 1.5e-4, _PAPER_RATE * 256 / self.batch_size)
        return replace(self, optimizer=optimizer, base_lr=usual if self.base_lr is None else self.base_lr)

    @property
    def adamw_lr(self) -> float:
        """AdamW's peak rate: the base rate scaled linearly with the batch (Goyal et al. 2017).

        Raises:
            ArgumentError: the recipe leaves the rate open.
        """
        if self.base_lr is None:
            raise ArgumentError("The rate follows from the model: ask Recipe.completed(embed_dim) for it.")
        return self.base_lr * self.batch_size / 256

    @property
    def peak_lr(self) -> float:
        """The rate that is reported: AdamW's."""
        return self.adamw_lr

    def lr_factor(self, step: int) -> float:
        """Return the share of the peak rate at a step from 0: linear warm-up, then a half cosine to zero.

        Example:
            >>> Recipe(views=64_000).lr_factor(40)
            1.0
        """
        warmup = round(self.warmup * self.steps)
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup)))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, lists for tuples, as JSON would give it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
