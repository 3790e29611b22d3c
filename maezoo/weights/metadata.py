"""What a maezoo file says of itself in its header: enough to build the model, prepare images and judge the output."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from maezoo.errors import LayoutError
from maezoo.model import VARIANTS, Variant
from maezoo.preprocessing import Preprocessing
from maezoo.vocabulary import PARTS, TARGETS, Part, Target

__all__ = ["WeightsMetadata"]

_KEY = "maezoo"


@dataclass(frozen=True)
class WeightsMetadata:
    """The header's metadata of a maezoo file.

    Attributes:
        variant: the architecture's name and numbers.
        target: what the decoder predicts.
        preprocess: how images are prepared.
        parts: what the file holds.
        license: of the weights.
        origin: where they come from, in words; a file name, a run.
    """

    variant: Variant
    target: Target
    preprocess: Preprocessing
    parts: tuple[Part, ...]
    license: str = "unknown"
    origin: str = ""

    def to_header(self) -> dict[str, str]:
        """Return the safetensors header metadata: one JSON text under the key `maezoo`."""
        data = {
            "variant": asdict(self.variant),
            "target": self.target,
            "preprocess": self.preprocess.to_dict(),
            "parts": list(self.parts),
            "license": self.license,
            "origin": self.origin,
        }
        return {"format": "pt", _KEY: json.dumps(data, sort_keys=True)}

    @classmethod
    def from_header(cls, header: Mapping[str, str] | None, where: object = "the file") -> "WeightsMetadata | None":
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
            data: dict[str, Any] = json.loads(header[_KEY])
            variant, parts, target = Variant(**data["variant"]), tuple(data["parts"]), data["target"]
            preprocess = Preprocessing.from_dict(data["preprocess"])
        except (ValueError, KeyError, TypeError) as error:
            raise LayoutError(
                f"{where} has maezoo metadata that cannot be read: {error!r}. Convert it again."
            ) from error
        if target not in TARGETS or not set(parts) <= set(PARTS):
            raise LayoutError(
                f"{where} has maezoo metadata with target {target!r} and parts {parts!r}. Convert it again."
            )
        if VARIANTS.get(variant.name, variant) != variant:
            raise LayoutError(f"{where} calls itself {variant.name} but has other numbers: {variant}.")
        return cls(
            variant,
            target,
            preprocess,
            cast(tuple[Part, ...], parts),
            data.get("license", "unknown"),
            data.get("origin", ""),
        )
