"""FAIR's published files, recognised by the first six digits of their md5 (its README.md and FINETUNE.md have them)."""

from dataclasses import dataclass
from pathlib import Path

from maezoo.files import md5_of
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model.variants import VARIANTS

__all__ = ["hint_for_name", "recognise_file"]

_LICENSE = "cc-by-nc-4.0"
# FAIR evaluates with Resize(256, bicubic) and CenterCrop(224) (facebookresearch/mae, util/datasets.py)
_PREPROCESS = Preprocessing(size=(224, 224), resize="crop", crop_pct=224 / 256, interpolation="bicubic")


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
