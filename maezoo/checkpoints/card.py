"""The README.md of a folder of weights: what they are, and the lines that load this very folder."""

import json
import re

from maezoo.checkpoints.bounds import NORM_EPSILON
from maezoo.checkpoints.metadata import WeightsMetadata

__all__ = ["card"]

_CARD = """---
license: {identifier}
library_name: {library}
pipeline_tag: {pipeline}
tags:
- maezoo
- timm
- masked-autoencoder
---

# {title}

{what} {origin}

```python
import timm

{timm}
```
{maezoo}
Images: {h} x {w} pixels, {preprocess.resize}, {preprocess.interpolation}, crop_pct {preprocess.crop_pct}, mean
{preprocess.mean}, std {preprocess.std}. Licence of the weights: {license}.{epsilon}
"""

_AUTOENCODER = "A masked autoencoder ViT (He et al. 2021, https://arxiv.org/abs/2111.06377): {parts}{target}."
_CLASSIFIER = (
    "A ViT that was pretrained as a masked autoencoder (He et al. 2021, https://arxiv.org/abs/2111.06377), with a "
    "classification head: {classes} classes{labels}."
)
_TIMM = '{name} = timm.create_model("{source}", pretrained=True)  # {note}'
_MAEZOO = """
```python
import maezoo

model = maezoo.create("{source}")
features = model.features(maezoo.sample("cat"))  # (1, {dim}); or your own files
```
"""
_EPSILON = " Their LayerNorm epsilon is {epsilon}; timm computes with 1e-06, which cannot be told to it."
_TARGETS = {"pixel": "raw pixels", "normpix": "pixels normalised by patch"}
_LABELS_SHOWN = 20
_PLAIN = re.compile("[A-Za-z][A-Za-z0-9 ._-]*")  # what YAML reads as a text without quotes


def card(metadata: WeightsMetadata, *, source: str, title: str, classes: int = 0, labels: object = None) -> str:
    """Return the text of a folder's README.md.

    Args:
        metadata: of the weights.
        source: what `create_model` and `create` call the folder, such as `"local-dir:runs/mine"`.
        title: its heading.
        classes: of the head; 0 where there is none.
        labels: the classes' names, where known: a list, or a dictionary by number.

    Example:
        >>> from maezoo.checkpoints.reader import open_weights
        >>> from pathlib import Path
        >>> with open_weights(Path("maezoo/checkpoints/mae_vit_tiny.safetensors")) as file:
        ...     text = card(file.metadata, source="local-dir:mine", title="mine")
        >>> 'timm.create_model("local-dir:mine", pretrained=True)' in text
        True
    """
    (h, w), epsilon = metadata.preprocess.size, metadata.facts.norm_epsilon
    if classes:
        what = _CLASSIFIER.format(classes=classes, labels=_named(labels))
    else:
        trained = f", trained on {_TARGETS[metadata.target]}" if metadata.target is not None else ""
        what = _AUTOENCODER.format(parts=" + ".join(metadata.parts), target=trained)
    note = "plain timm; maezoo is not needed" if not classes else "with its head; maezoo is not needed"
    return _CARD.format(
        license=metadata.license,
        identifier=metadata.license if _PLAIN.fullmatch(metadata.license) else json.dumps(metadata.license),
        library="timm" if classes else "maezoo",
        pipeline="image-classification" if classes else "image-feature-extraction",
        title=title,
        what=what,
        origin=metadata.origin,
        timm=_TIMM.format(name="classifier" if classes else "encoder", source=source, note=note),
        maezoo=_MAEZOO.format(source=source, dim=metadata.variant.embed_dim),
        h=h,
        w=w,
        preprocess=metadata.preprocess,
        epsilon="" if epsilon == NORM_EPSILON else _EPSILON.format(epsilon=epsilon),
    )


def _named(labels: object) -> str:
    """List the classes' names after their number."""
    names = list(labels.values()) if isinstance(labels, dict) else list(labels) if isinstance(labels, list) else []
    more = f" and {len(names) - _LABELS_SHOWN} more" if len(names) > _LABELS_SHOWN else ""
    return f" ({', '.join(map(str, names[:_LABELS_SHOWN]))}{more})" if names else ""
