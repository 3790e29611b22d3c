"""What an exported file says of itself. No torch here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maezoo.errors import DataError
from maezoo.files import parse_json
from maezoo.images.preprocessing import Preprocessing
from maezoo.vocabulary import EXPORT_FORMATS, EXPORT_INPUTS, EXPORT_PRECISIONS, EXPORT_TASKS, POOLS

__all__ = ["Facts"]

_LONGEST = 100_000  # characters of one fact that are read


@dataclass(frozen=True)
class Facts:
    """What is stored in an exported file.

    Attributes:
        model: name of the weights.
        format: `"onnx"`, `"torch"` or `"openvino"`.
        task: what it computes.
        pool: of features; `None` for other tasks.
        layers: blocks whose maps it gives; empty for other tasks.
        precision: number format of the weights.
        input: `"pixels"`, uint8, or `"normalised"`, float32.
        batch: images in a batch; `None` for any number.
        img_size: (H, W) of the input; `None` for any multiples of the patch side.
        patch_size: patch side P.
        in_chans: channels C.
        preprocess: how pictures become its input.
        license: of the weights.
        sha256: of the file of the weights; `None` where it is not known.
        maezoo_version: that wrote it.
        torch_version: likewise.
        check: how it compared with eager PyTorch on photographs, one entry for each batch.
    """

    model: str
    format: str
    task: str
    pool: str | None
    layers: tuple[int, ...]
    precision: str
    input: str
    batch: int | None
    img_size: tuple[int, int] | None
    patch_size: int
    in_chans: int
    preprocess: Preprocessing
    license: str
    sha256: str | None
    maezoo_version: str
    torch_version: str
    check: tuple[Mapping[str, Any], ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        if self.task == "maps":
            return tuple(f"map_{number}" for number in range(len(self.layers)))
        return {"reconstruct": ("predicted", "pixels"), "encode": ("tokens",)}.get(self.task, (self.task,))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return ("images", "visible") if self.task in ("encode", "reconstruct") else ("images",)

    def to_strings(self) -> dict[str, str]:
        """Return the facts as strings: words as they are, all else as JSON."""
        data = {**asdict(self), "preprocess": self.preprocess.to_dict()}
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}

    @classmethod
    def from_strings(cls, data: Mapping[str, str], path: Path) -> "Facts":
        """Read what `to_strings` wrote.

        Raises:
            DataError: a fact is missing or wrong: `maezoo export` did not write the file.
        """
        stored = {"check": "[]", **data}  # before the check there is none
        try:
            if any(len(value) > _LONGEST for value in data.values()):
                raise ValueError("a fact is too long")
            read: dict[str, Any] = {key: _read(key, stored[key]) for key in cls.__dataclass_fields__}
            read["preprocess"] = Preprocessing.from_dict(read["preprocess"])
            for key in ("layers", "check"):
                read[key] = tuple(read[key])
            read["img_size"] = None if read["img_size"] is None else _pair(read["img_size"])
            facts = cls(**read)
            _check(facts)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"holds no facts of `maezoo export` that can be read ({type(error).__name__}: {error})."
            raise DataError.about(path, reason) from error
        return facts


_WORDS = ("model", "format", "task", "precision", "input", "license", "maezoo_version", "torch_version")
_MAYBE_WORDS = ("pool", "sha256")


def _read(key: str, text: str) -> Any:
    """Read one fact."""
    if key in _WORDS or (key in _MAYBE_WORDS and text != "null"):
        return text
    return parse_json(text)


def _pair(value: Any) -> tuple[int, int]:
    height, width = value
    return height, width


def _check(facts: Facts) -> None:
    """Refuse facts that no export writes."""
    numbers = [
        facts.patch_size,
        facts.in_chans,
        *(facts.img_size or ()),
        *([] if facts.batch is None else [facts.batch]),
    ]
    fine = (
        facts.format in EXPORT_FORMATS
        and facts.task in EXPORT_TASKS
        and facts.precision in EXPORT_PRECISIONS
        and facts.input in EXPORT_INPUTS
        and (facts.pool is None or facts.pool in POOLS)
        and all(type(number) is int and 0 < number <= 10**6 for number in numbers)
        and all(type(layer) is int for layer in facts.layers)
    )
    if not fine:
        raise ValueError("a word or number that is not allowed")
