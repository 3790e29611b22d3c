"""What is known of weights before a tensor is read: from the manifest, from a configuration, or from a file's hash.

FAIR's published files are recognised by the first six digits of their md5, which its README.md and FINETUNE.md give.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from maezoo.errors import LayoutError
from maezoo.hashes import md5_of
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.entries import WeightsEntry
from maezoo.model.facts import Facts
from maezoo.model.variants import VARIANTS, Variant
from maezoo.vocabulary import Target

__all__ = ["Description", "hint_for_name", "recognise_file"]

_LICENSE = "cc-by-nc-4.0"
# FAIR evaluates with Resize(256, bicubic) and CenterCrop(224) (facebookresearch/mae, util/datasets.py)
_PREPROCESS = Preprocessing(size=(224, 224), resize="crop", crop_pct=224 / 256, interpolation="bicubic")


@dataclass(frozen=True)
class Description:
    """What is known of weights before a tensor is read; `None` where that is not said.

    Attributes:
        variant: the architecture.
        target: what the decoder was trained to predict.
        preprocess: how images are prepared.
        license: of the weights.
        origin: where they come from, in words.
        facts: what they ask of the model beyond the architecture's numbers.
        trained_size: (H, W) of the images that their positions are for, where that is not the preprocessing's.
    """

    variant: Variant | None = None
    target: Target | None = None
    preprocess: Preprocessing | None = None
    license: str | None = None
    origin: str | None = None
    facts: Facts | None = None
    trained_size: tuple[int, int] | None = None

    @classmethod
    def of_entry(cls, entry: WeightsEntry) -> "Description":
        """Describe the weights of a manifest's entry."""
        variant = VARIANTS.get(entry.architecture)
        preprocess = None if "preprocess.mean" in entry.unstated else entry.preprocess
        return cls(variant, entry.target, preprocess, entry.license, entry.name, entry.facts_of_model)

    def filled_from(self, other: "Description") -> "Description":
        """Return this description, what it lacks taken from another."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return Description(**{name: getattr(other, name) if value is None else value for name, value in pairs})

    def require(self, where: Path, how: str, *, decoder: bool) -> tuple[Variant, Target | None, Preprocessing]:
        """Return architecture, target and preprocessing; nothing is ever assumed.

        Args:
            where: the file.
            how: how the user can say what is missing.
            decoder: whether the file has a decoder; of an encoder alone the target need not be known.

        Raises:
            LayoutError: one of them is not known; the message names it.
        """
        known_target = self.target is not None or not decoder
        if self.variant is not None and known_target and self.preprocess is not None:
            return self.variant, self.target, self.preprocess
        facts = {
            "which architecture it is": self.variant,
            "what its decoder was trained to predict (target)": self.target or (not decoder or None),
            "how its images are prepared (preprocess)": self.preprocess,
        }
        missing = " nor ".join(fact for fact, value in facts.items() if value is None)
        raise LayoutError(f"{where} does not say {missing}. {how}", path=where, expected=missing)


@dataclass(frozen=True)
class _KnownFile:
    """A published file: its name, its architecture, and whether it was fine-tuned for classification."""

    name: str
    architecture: str
    fine_tuned: bool = False


_KNOWN = {
    "8cad7c": _KnownFile("mae_pretrain_vit_base.pth", "mae_vit_base"),
    "b8b06e": _KnownFile("mae_pretrain_vit_large.pth", "mae_vit_large"),
    "9bdbb0": _KnownFile("mae_pretrain_vit_huge.pth", "mae_vit_huge"),
    "1b25e9": _KnownFile("mae_finetuned_vit_base.pth", "mae_vit_base", fine_tuned=True),
    "51f550": _KnownFile("mae_finetuned_vit_large.pth", "mae_vit_large", fine_tuned=True),
    "2541f2": _KnownFile("mae_finetuned_vit_huge.pth", "mae_vit_huge", fine_tuned=True),
}


def recognise_file(path: Path) -> Description:
    """Describe one of FAIR's files whose md5 is published; nothing, for any other file.

    The pretraining files were trained on normalised pixels, and the fine-tuned ones start from them.
    """
    known = _KNOWN.get(md5_of(path)[:6])
    if known is None:
        return Description()
    origin = f"FAIR's {known.name}" + (", fine-tuned on ImageNet-1k" if known.fine_tuned else "")
    return Description(VARIANTS[known.architecture], "normpix", _PREPROCESS, _LICENSE, origin)


def hint_for_name(path: Path) -> str:
    """Say what a file's name suggests of its target: FAIR's files with a decoder have no published md5.

    Example:
        >>> hint_for_name(Path("mae_visualize_vit_large_ganloss.pth"))
        " FAIR's file of this name was trained on raw pixels: --target pixel."
    """
    if "mae_visualize" in path.name:
        return " FAIR's file of this name was trained on raw pixels: --target pixel."
    if path.stem.endswith("_full") or "mae_pretrain" in path.name:
        return " FAIR's file of this name was trained on normalised pixels: --target normpix."
    return ""
