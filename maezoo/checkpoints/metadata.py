"""What a maezoo file says of itself in its header: enough to build the model, prepare images and judge the output."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from maezoo.checkpoints.bounds import NORM_EPSILON, bounded_facts, bounded_preprocessing, bounded_variant, plain_text
from maezoo.errors import ArgumentError, LayoutError
from maezoo.files import parse_json
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, Facts, Variant
from maezoo.model.facts import PAPER
from maezoo.vocabulary import PARTS, TARGETS, Part, Target

__all__ = ["DECODER", "DECODER_KEY", "SOURCE_KEY", "WEIGHTS", "WeightsMetadata"]

WEIGHTS = "model.safetensors"  # of a folder
DECODER = "decoder/model.safetensors"  # below it: older timm takes any *.safetensors in the folder for the model
_KEY = "maezoo"
DECODER_KEY = "maezoo_decoder"  # the hash of the decoder's tensors, in both files of a folder
SOURCE_KEY = "maezoo_source"  # the sha256 of the published file that this one was converted from


@dataclass(frozen=True)
class WeightsMetadata:
    """The header's metadata of a maezoo file.

    Attributes:
        variant: the architecture's name and numbers.
        target: what the decoder predicts; `None` where there is none and that is not known.
        preprocess: how images are prepared.
        parts: what the file holds.
        license: of the weights.
        origin: where they come from, in words; a file name, a run.
        facts: what the weights ask of the model, beyond the architecture's numbers.
    """

    variant: Variant
    target: Target | None
    preprocess: Preprocessing
    parts: tuple[Part, ...]
    license: str = "unknown"
    origin: str = ""
    facts: Facts = PAPER

    def to_data(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {
            "variant": asdict(self.variant),
            "target": self.target,
            "preprocess": self.preprocess.to_dict(),
            "parts": list(self.parts),
            "license": self.license,
            "origin": self.origin,
            "facts": self.facts.to_dict(),
        }

    def to_header(self) -> dict[str, str]:
        """Return the safetensors header metadata: one JSON text under the key `maezoo`."""
        return {"format": "pt", _KEY: json.dumps(self.to_data(), sort_keys=True)}

    @classmethod
    def from_header(cls, header: Mapping[str, str] | None, where: str | Path = "the file") -> "WeightsMetadata | None":
        """Read a header; `None` when it has no metadata of ours.

        Args:
            header: the safetensors header's `__metadata__`.
            where: what errors call the file.

        Raises:
            LayoutError: it claims to be ours and cannot be read.
        """
        if not header or _KEY not in header:
            return None
        try:
            data = parse_json(header[_KEY])
        except ValueError as error:
            message = f"{where} has maezoo metadata that is not JSON: {error}. Convert it again."
            raise LayoutError(message, path=where, reason=str(error)) from error
        return cls.from_data(data, where)

    @classmethod
    def from_data(cls, data: Any, where: str | Path = "the file") -> "WeightsMetadata":
        """Read what `to_data` gave.

        Args:
            data: from JSON.
            where: what errors call its file.

        Raises:
            LayoutError: something is missing or impossible.
        """
        try:
            variant = bounded_variant(data["variant"])
            parts, target = _parts(data["parts"]), data["target"]
            preprocess = bounded_preprocessing(Preprocessing.from_dict(data["preprocess"]), variant.patch_size)
            words = (
                plain_text(data.get("license", "unknown"), "license"),
                plain_text(data.get("origin", ""), "origin"),
            )
            old = {"norm_epsilon": data.get("norm_epsilon", NORM_EPSILON)}  # older files have no other fact
            facts = bounded_facts(data.get("facts", old), variant.facts)
            if target not in TARGETS and (target is not None or "decoder" in parts):
                raise ArgumentError(f"the target is {target!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{where} has maezoo metadata that cannot be read: {error!r}. Convert it again."
            raise LayoutError(message, path=where, reason=repr(error)) from error
        expected = VARIANTS.get(variant.name, variant)
        if expected != variant:
            message = f"{where} calls itself {variant.name} but has other numbers: {variant}."
            raise LayoutError(message, path=where, expected=expected, found=variant)
        return cls(variant, target, preprocess, parts, *words, facts)


def _parts(names: Any) -> tuple[Part, ...]:
    """Return the parts that a list names."""
    if not isinstance(names, list) or "encoder" not in names or not all(name in PARTS for name in names):
        raise ArgumentError(f"parts are {names!r}; they should be the encoder, or encoder and decoder")
    return tuple(part for part in get_args(Part) if part in names)
