"""How pixels become model input: the numbers stored with each set of weights. No imaging code, no torch."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, SupportsIndex

from maezoo.errors import ArgumentError
from maezoo.vocabulary import INPUT_KINDS, WINDOWS, InputKind, Window

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "INTERPOLATIONS",
    "RESIZE_RULES",
    "Preprocessing",
    "as_window",
    "parse_window",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
RESIZE_RULES = ("squash", "crop")
MOST_CHANNELS = 1024


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of one set of weights.

    Attributes:
        size: (H, W) of the model's input in pixels.
        resize: `"squash"` resizes both sides to `size` whatever the aspect ratio; `"crop"` resizes until the image
            just covers `size / crop_pct`, then cuts the centre out.
        crop_pct: share of the resized image that the crop keeps; 1 for `"squash"`.
        interpolation: resampling filter.
        mean: subtracted from each channel of an image in [0, 1].
        std: then divides it.
        bands: what each channel is, in the order of the weights, such as `("B04", "B03", "B02")`; `None` for a
            picture's own channels.
        window: which values of a picture of more than 8 bits become black and white: `"full"`, all that its number
            format can hold; `"auto"`, its own smallest and largest; `"percentiles"`, its own 1st and 99th percentile;
            or two values (low, high), or two tuples of them, one value for each band. Pictures of 8 bits are taken as
            they are.
        clip: whether values of bands that lie outside the window are cut off; those of photographs always are.
        kind: what the input is drawn from: a `"picture"`, a `"sound"` (its log-mel energies, time by frequency, which
            `mean` and `std` are of) or a `"text"` (a strip).
    """

    size: tuple[int, int]
    resize: str = "crop"
    crop_pct: float = 1.0
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    bands: tuple[str, ...] | None = None
    window: Window = "full"
    clip: bool = True
    kind: InputKind = "picture"

    def __post_init__(self) -> None:
        """Refuse values that no image could be prepared with."""
        # NumPy's integers too, which JSON does not know
        if all(isinstance(side, SupportsIndex) and not isinstance(side, bool) for side in self.size):
            object.__setattr__(self, "size", tuple(operator.index(side) for side in self.size))
        checks = {
            "size": len(self.size) == 2 and all(type(side) is int and side > 0 for side in self.size),
            "resize": self.resize in RESIZE_RULES,
            "crop_pct": _is_number(self.crop_pct) and 0 < self.crop_pct <= 1,
            "interpolation": self.interpolation in INTERPOLATIONS,
            "mean": 0 < len(self.mean) <= MOST_CHANNELS and all(_is_number(value) for value in self.mean),
            "std": len(self.std) == len(self.mean) and all(_is_number(value) and value >= 1e-6 for value in self.std),
            "bands": self.bands is None or (len(self.bands) == len(self.mean) and _are_names(self.bands)),
            "clip": isinstance(self.clip, bool),
            "kind": self.kind in INPUT_KINDS,
        }
        for field, fine in checks.items():
            if not fine:
                raise ArgumentError(f"preprocess.{field} cannot be {getattr(self, field)!r}")
        window = as_window(self.window)
        if isinstance(window[0], tuple) and len(window[0]) != len(self.bands or ()):
            raise ArgumentError(f"preprocess.window has {len(window[0])} values for {len(self.bands or ())} bands")
        object.__setattr__(self, "window", window)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """Read what `to_dict` wrote.

        Raises:
            ArgumentError: a field is missing, unknown or out of range; the message names it.

        Example:
            >>> Preprocessing.from_dict({"size": [224, 224], "resize": "squash"}).size
            (224, 224)
        """
        if not isinstance(data, Mapping):
            raise ArgumentError(f"preprocess should be an object with 'size' and more, not {data!r}")
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown or "size" not in data:
            raise ArgumentError(
                f"preprocess needs 'size' and knows {', '.join(cls.__dataclass_fields__)}; got {sorted(data)}"
            )
        try:
            fields: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
            }
            return cls(**fields)
        except TypeError as error:
            raise ArgumentError(f"preprocess has a value of the wrong type: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, lists for tuples, fit for JSON; what is usual is left out of the last four."""
        usual = (("window", "full"), ("bands", None), ("clip", True), ("kind", "picture"))
        fields = {key: value for key, value in asdict(self).items() if (key, value) not in usual}
        return {key: _listed(value) for key, value in fields.items()}


def as_window(window: Any) -> Window:
    """Return a window with plain Python numbers.

    Raises:
        ArgumentError: another word, or no two finite numbers of which the second is larger.

    Example:
        >>> as_window("auto"), as_window([-160, 240])
        ('auto', (-160, 240))
    """
    if isinstance(window, str) and window in WINDOWS:
        return window  # type: ignore[return-value]  # one of its words
    if isinstance(window, Sequence) or hasattr(window, "tolist"):  # NumPy's arrays too
        pair = [] if isinstance(window, str) else [_plain(value) for value in window]
        if len(pair) == 2 and _rises(*pair):
            return pair[0], pair[1]
        sides = [tuple(map(_plain, side)) for side in window if isinstance(side, Sequence) or hasattr(side, "tolist")]
        if len(sides) == 2 and 0 < len(sides[0]) == len(sides[1]) and all(map(_rises, *sides)):
            return sides[0], sides[1]
    error = ArgumentError.for_choice("window", window, WINDOWS)
    message = (
        f"window is {', '.join(map(repr, WINDOWS))}, or two numbers (low, high) with low below high; got {window!r}."
    )
    raise ArgumentError(message, expected=WINDOWS, found=window, suggestions=error.suggestions)


def parse_window(text: str) -> Window:
    """Read a window as it is typed: a word, or two numbers with a comma between them.

    Raises:
        ArgumentError: neither.

    Example:
        >>> parse_window("auto"), parse_window("-160, 240")
        ('auto', (-160, 240))
    """
    low, comma, high = text.partition(",")
    try:
        return as_window((_number(low), _number(high)) if comma else text.strip())
    except ValueError as error:
        words = ", ".join(WINDOWS)
        message = f"{text!r} is none of {words}, nor two numbers LOW,HIGH with LOW below HIGH."
        raise ArgumentError(message, expected=WINDOWS, found=text) from error


def _number(text: str) -> float:
    return int(text) if text.strip().lstrip("+-").isdigit() else float(text)


def _plain(value: Any) -> Any:
    """Return a number of any library as an int or float; `None` for what is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    return operator.index(value) if isinstance(value, SupportsIndex) else float(value)


def _rises(low: Any, high: Any) -> bool:
    """Whether two values are numbers, the second above the first."""
    return all(value is not None and abs(value) < 1e300 for value in (low, high)) and bool(low < high)


def _listed(value: Any) -> Any:
    """Return tuples as lists, as JSON has them."""
    return [_listed(each) for each in value] if isinstance(value, tuple) else value


def _are_names(values: Sequence[Any]) -> bool:
    """Whether each value is a short name, and none is given twice."""
    named = all(isinstance(value, str) and 0 < len(value) <= 40 and value.isprintable() for value in values)
    return named and not isinstance(values, str) and len(set(values)) == len(values)


def _is_number(value: Any) -> bool:
    """Whether a value is a real number of a sane size; JSON's `true` and `NaN` are not."""
    real: Any = value  # of whatever library
    return isinstance(value, Real) and not isinstance(value, bool) and bool(-1e6 < real < 1e6)
