"""Bands as the weights want them: in their order, on their scale, and with all their bits. Arrays alone, no files."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ImageError
from maezoo.images.geotiff import Raster
from maezoo.images.pixels import to_uint8
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.resizing import resized_plane
from maezoo.images.window import Scaling

__all__ = ["band_order", "prepare_bands"]

_NUMBERED = re.compile(r"(?:band[ _-]?)?\d+", re.IGNORECASE)  # a name that says no more than a position does
_SENTINEL = re.compile(r"B(\d)(A?)")  # B2 and B02 are one band
_MARKERS = (-9999, -32768, -32767, -99999)  # values that files use for "no value", and nobody measures
_LEAST_PART = 1000  # values that use less than this part of the weights' range are on another scale
_MOST_SHOWN = 20


def band_order(
    found: Sequence[str] | None, count: int, wanted: Sequence[str] | None, channels: int, name: str
) -> list[int]:
    """Return which of an input's bands are the weights', in the order of the weights.

    Args:
        found: names of the input's bands; `None` where nothing names them.
        count: how many it has.
        wanted: names of the weights' bands; `None` where nobody has named them.
        channels: how many there are.
        name: what errors call the input.

    Raises:
        ImageError: bands are missing, named twice, or of another number; the message names them.

    Example:
        >>> band_order(["B4", "B3", "B2", "B8"], 4, ["B02", "B03", "B04"], 3, "it")
        [2, 1, 0]
    """
    if found is None or wanted is None or all(_NUMBERED.fullmatch(each) for each in found):
        if count == channels:
            return list(range(count))
        raise ImageError(
            f"{name} has {count} band{'s'[: count != 1]}, and these weights take {channels}"
            + ("" if wanted is None else f": {_listing(wanted)}")
            + f". Pass an array (H, W, {channels}) in this order"
            + ("." if wanted is None else ", or say which bands it has: maezoo.Scene(source, bands=(…))."),
            expected=channels if wanted is None else tuple(wanted),
            found=count if found is None else tuple(found),
        )
    places: dict[str, list[int]] = {}
    for place, band in enumerate(found):
        places.setdefault(_plain_name(band), []).append(place)
    missing = [band for band in wanted if _plain_name(band) not in places]
    twice = [band for band in wanted if len(places.get(_plain_name(band), ())) > 1]
    if missing or twice:
        problem = f"lacks {_listing(missing)}" if missing else f"has {_listing(twice)} more than once"
        raise ImageError(
            f"{name} {problem}: these weights take {_listing(wanted)}, and it has {_listing(found)}. If its bands have "
            "other names there, say in their order what they are: maezoo.Scene(source, bands=(…)).",
            reason=problem,
            expected=tuple(wanted),
            found=tuple(found),
        )
    return [places[_plain_name(band)][0] for band in wanted]


def prepare_bands(
    raster: Raster, preprocess: Preprocessing, channels: int, name: str, scaling: Scaling
) -> NDArray[Any]:
    """Order, scale and resize bands.

    Args:
        raster: the bands, (H, W, C) of any number format but complex, and what is known of them.
        preprocess: of the weights.
        channels: how many bands they take.
        name: what errors call it.
        scaling: tells of what is filled; scales to 8 bits where the weights' bands are not named.

    Returns:
        (h, w, channels) of the size wanted: uint8, or float32 where the values have more bits, 1 being the upper end of
        the window.

    Raises:
        ImageError: other bands, or values that cannot be on the weights' scale.
    """
    values = raster.values[:, :, None] if raster.values.ndim == 2 else raster.values
    if values.ndim != 3 or 0 in values.shape:
        shape = tuple(raster.values.shape)
        raise ImageError(f"{name}: an array of bands is (H, W, {channels}), and not empty; got {shape}.", found=shape)
    if raster.names is None and values.shape[0] == channels != values.shape[2]:
        raise ImageError(
            f"{name} has the shape {values.shape}, and bands come last, (H, W, {channels}); if it is (C, H, W), pass "
            "array.transpose(1, 2, 0).",
            expected=channels,
            found=values.shape,
        )
    order = band_order(raster.names, values.shape[2], preprocess.bands, channels, name)
    if order != list(range(values.shape[2])):
        values = values[:, :, order]
    if raster.absent is not None and raster.absent.all():
        raise ImageError(f"{name} has no data: its mask or nodata value leaves out every pixel.", reason="no data")
    if values.dtype == np.bool_ or preprocess.bands is None:
        values = to_uint8(values, name, scaling)
    if preprocess.bands is None or (values.dtype == np.uint8 and raster.absent is None):
        _tell_filled(raster.absent, 0, name, scaling)
        if raster.absent is not None:
            values = np.where(raster.absent[:, :, None], 0, values).astype(np.uint8)
        return np.stack([resized_plane(values[:, :, c], preprocess) for c in range(channels)], axis=2)
    if values.dtype.kind not in "iuf":
        raise ImageError(f"{name}: bands are numbers, integers or floats; got {values.dtype}.", found=str(values.dtype))
    low, high = _window(values, raster.absent, preprocess, name)
    planes = []
    for c in range(channels):
        plane = values[:, :, c].astype(np.float32)
        if raster.absent is not None:
            plane[raster.absent] = preprocess.mean[c % len(preprocess.mean)] * (high[c] - low[c]) + low[c]
        planes.append(resized_plane(plane, preprocess))
    _tell_filled(raster.absent, None, name, scaling)
    scaled = (np.stack(planes, axis=2) - low) / (high - low)  # (h, w, C)
    return (scaled.clip(0, 1) if preprocess.clip else scaled).astype(np.float32)


def _window(
    values: NDArray[Any], absent: NDArray[np.bool_] | None, preprocess: Preprocessing, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper end of each band's values, (C,) each."""
    kept = values if absent is None else values[~absent]
    least, most = float(kept.min()), float(kept.max())
    if not max(abs(least), abs(most)) < 1e30:
        raise ImageError(
            f"{name} holds NaN, infinity or a huge number; if that stands for pixels without data, pass "
            "maezoo.Scene(source, nodata=float('nan')) or its value: they are then filled with the weights' mean.",
            reason="it holds NaN or infinity",
        )
    window = preprocess.window
    if values.dtype == np.uint8:  # with pixels that lack data; 255 is 1, as without them
        ends: Any = (0, 255)
    elif window == "percentiles":
        ends = tuple(np.percentile(kept, (1, 99)))
    elif window == "auto":
        ends = least, most
    elif window == "full":
        ends = (0, 65535) if values.dtype in (np.dtype(np.uint16), np.dtype(">u2")) else None
        if ends is None:
            raise ImageError(
                f"{name} holds {values.dtype} from {least:g} to {most:g}, and nothing says on which scale these "
                "weights want it; create the model with window=(low, high), 'auto' or 'percentiles', or pass uint8.",
                reason="its scale is not known",
            )
    else:
        ends = window
        _check_scale(least, most, values, ends, name)
    channels = values.shape[2]
    low, high = (np.broadcast_to(np.asarray(end, np.float64), (channels,)) for end in ends)
    return low, np.where(high > low, high, low + 1)


def _check_scale(least: float, most: float, values: NDArray[Any], ends: Any, name: str) -> None:
    """Refuse values that are plainly on another scale than the weights', or hold marks for missing ones."""
    low, high = float(np.min(ends[0])), float(np.max(ends[1]))
    scale = f"these weights take values from {low:g} to {high:g}"
    if least < low and least in _MARKERS:
        raise ImageError(
            f"{name} holds {least:g}, and {scale}; if it stands for pixels without data, pass maezoo.Scene(source, "
            f"nodata={least:g}): they are then filled with the weights' mean.",
            reason=f"it holds {least:g}",
            expected=(low, high),
            found=(least, most),
        )
    other = most <= low or least >= high or most - least < (high - low) / _LEAST_PART
    if most < low or (least < most and other):  # one value alone, such as 0 everywhere, tells no scale
        raise ImageError(
            f"{name} holds {values.dtype} from {least:g} to {most:g}, and {scale}; bring it to this scale, "
            "with maezoo.Scene(source, scale=10000) perhaps, or create the model with window=(low, high) of yours.",
            reason="another scale",
            expected=(low, high),
            found=(least, most),
        )


def _tell_filled(absent: NDArray[np.bool_] | None, value: int | None, name: str, scaling: Scaling) -> None:
    """Warn of pixels that have no data."""
    if absent is not None:
        share = f"{100 * float(absent.mean()):.3g} %"
        filled = "they became black" if value == 0 else "they were filled with the weights' mean"
        scaling.tell("%s has no data in %s of its pixels; %s.", name, share, filled)


def _plain_name(band: str) -> str:
    """Return a name as it is compared: Sentinel-2's with two digits, all in small letters."""
    name = band.strip()
    if found := _SENTINEL.fullmatch(name.upper()):
        name = f"B{found[1]}A" if found[2] else f"B0{found[1]}"
    return re.sub(r"[ -]+", "_", name.lower())


def _listing(names: Sequence[str]) -> str:
    """List names, not too many."""
    shown = ", ".join(names[:_MOST_SHOWN])
    return shown if len(names) <= _MOST_SHOWN else f"{shown} and {len(names) - _MOST_SHOWN} more"
