"""Folders of weights: which file is meant, and a model as a folder that maezoo and timm read back."""

import json
from pathlib import Path
from typing import Any

from maezoo.checkpoints.configs import CONFIG
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.save import save_model
from maezoo.checkpoints.timm_config import maezoo_config
from maezoo.errors import WeightsNotFoundError
from maezoo.files import written_whole
from maezoo.images.preprocessing import Preprocessing
from maezoo.listing import files_in
from maezoo.model import MaskedAutoencoder
from maezoo.model.variants import VARIANTS, Variant
from maezoo.paths import user_path
from maezoo.vocabulary import Part

__all__ = ["WEIGHTS", "describe_model", "save_folder", "variant_of", "weights_in"]

WEIGHTS = "model.safetensors"

_CARD = """---
license: {license}
library_name: maezoo
pipeline_tag: image-feature-extraction
tags:
- maezoo
- timm
- masked-autoencoder
---

# {title}

A masked autoencoder ViT (He et al. 2021, https://arxiv.org/abs/2111.06377): {parts}, {params:.1f} M parameters, trained
on {target}. {origin}

```python
import maezoo

model = maezoo.create("hf-hub:{repo}")
features = model.features(["cat.jpg", "dog.jpg"])  # (2, {dim})
```

Images: {h} x {w} pixels, {preprocess.resize}, {preprocess.interpolation}, crop_pct {preprocess.crop_pct}, mean
{preprocess.mean}, std {preprocess.std}. `timm.create_model("hf-hub:{repo}", pretrained=True)`, behind `import maezoo`,
gives the encoder. Licence of the weights: {license}.
"""


def variant_of(model: MaskedAutoencoder) -> Variant:
    """Return the numbers of a model, called as in the zoo if it has them; 0 for a missing decoder.

    Example:
        >>> from maezoo.model import build_mae
        >>> variant_of(build_mae(VARIANTS["mae_vit_tiny"], img_size=(64, 128))).name
        'mae_vit_tiny'
    """
    encoder, decoder = model.encoder, model.decoder
    numbers: dict[str, int] = {
        "patch_size": model.patch_size,
        "embed_dim": model.embed_dim,
        "depth": len(encoder.blocks),
        "num_heads": _heads(encoder.blocks),
    }
    if decoder is not None:
        numbers["decoder_dim"] = decoder.dim
        numbers["decoder_depth"] = len(decoder.blocks)
        numbers["decoder_heads"] = _heads(decoder.blocks)
    for known in VARIANTS.values():
        if all(getattr(known, field) == value for field, value in numbers.items()):
            return known
    without = {"decoder_dim": 0, "decoder_depth": 0, "decoder_heads": 0}
    name = f"mae_vit_{numbers['embed_dim']}x{numbers['depth']}"
    return Variant(name, img_size=model.img_size[0], **{**without, **numbers})


def _heads(blocks: Any) -> int:
    """Return the number of heads of a stack of blocks."""
    return int(blocks[0].attn.num_heads)


def weights_in(folder: Path) -> Path:
    """Return the weights file of a folder: model.safetensors or its index, or the only safetensors file there.

    Args:
        folder: the folder; a file stands for itself.

    Raises:
        WeightsNotFoundError: there is none, or none that is meant.
    """
    if folder.is_file():
        return folder
    for name in (WEIGHTS, f"{WEIGHTS}.index.json"):
        if (folder / name).is_file():
            return folder / name
    found = files_in(folder, ".safetensors") if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    what = f"several files ({', '.join(path.name for path in found)}) and no" if found else "no"
    hint = "name one of them" if found else "`maezoo convert` makes one of .pth and .bin files"
    raise WeightsNotFoundError(f"{folder} has {what} {WEIGHTS}; {hint}.")


def describe_model(
    model: MaskedAutoencoder, preprocess: Preprocessing, *, license: str = "unknown", origin: str = ""
) -> WeightsMetadata:
    """Return what a file of this model should say of itself.

    Args:
        model: the autoencoder.
        preprocess: how its images are prepared.
        license: of the weights.
        origin: where they come from, in words.
    """
    parts: tuple[Part, ...] = ("encoder",) if model.decoder is None else ("encoder", "decoder")
    epsilon: Any = model.encoder.norm.eps
    return WeightsMetadata(variant_of(model), model.target, preprocess, parts, license, origin, float(epsilon))


def save_folder(
    model: MaskedAutoencoder, folder: str | Path, metadata: WeightsMetadata, *, repo_id: str | None = None
) -> Path:
    """Write model.safetensors, config.json and README.md; each appears whole or not at all.

    Args:
        model: the autoencoder.
        folder: made when missing.
        metadata: of the model, from `describe_model`.
        repo_id: the repository that the card names in its example.

    Returns:
        The folder.
    """
    folder = user_path(folder)
    save_model(model, folder / WEIGHTS, metadata=metadata)
    with written_whole(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(maezoo_config(metadata, model.in_chans), indent=2) + "\n", encoding="utf-8")
    h, w = metadata.preprocess.size
    card = _CARD.format(
        title=repo_id or metadata.variant.name,
        repo=repo_id or "org/repo",
        license=metadata.license,
        parts=" + ".join(metadata.parts),
        params=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        target={"pixel": "raw pixels", "normpix": "pixels normalised by patch"}[metadata.target],
        origin=metadata.origin,
        dim=metadata.variant.embed_dim,
        h=h,
        w=w,
        preprocess=metadata.preprocess,
    )
    with written_whole(folder / "README.md") as temporary:
        temporary.write_text(card, encoding="utf-8")
    return folder
