"""Sound as the weights want it: read by soundfile, mixed to one channel, at 16 kHz, as log-mel energies."""

import math
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ImageError, MissingExtraError
from maezoo.images.fbank import FRAME, RATE, SHIFT, log_mel
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.window import Scaling

__all__ = ["Samples", "as_samples", "prepare_log_mel", "prepare_sound", "read_sound", "seconds_in"]

_RATES = (1_000, 768_000)
_MOST_CHANNELS = 2
_LOUDEST = 8.0  # sound in [-1, 1] may overshoot; more than this is on another scale
_MARGIN = 0.1  # seconds read beyond what is used, so that resampling sees no end there
_CONVERT = "ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav"


class Samples(NamedTuple):
    """Sound as numbers.

    Attributes:
        values: (n, channels) in [-1, 1].
        rate: samples a second.
        seconds: how long all of it is; `values` may be a part.
    """

    values: NDArray[np.floating]
    rate: int
    seconds: float


def read_sound(source: Path | bytes, name: str, start: float, seconds: float, rate: int | None = None) -> Samples:
    """Read a part of a sound file: WAV, FLAC, Ogg, MP3 and what else libsndfile knows.

    Args:
        source: the path or the bytes.
        name: what errors call it.
        start: of the part, in seconds.
        seconds: its length; a little more is read.
        rate: samples a second that the file is said to have, if it is said.

    Raises:
        MissingExtraError: soundfile is not installed.
        ImageError: it is no sound that libsndfile knows, has another rate, or begins after its end.
    """
    soundfile = _require_soundfile()
    try:
        with soundfile.SoundFile(BytesIO(source) if isinstance(source, bytes) else str(source)) as file:
            if rate not in (None, file.samplerate):
                raise ImageError(
                    f"{name} has {file.samplerate:,} samples a second, and rate={rate!r} is given; leave it out, as a "
                    "file has its own.",
                    expected=rate,
                    found=file.samplerate,
                )
            if not _RATES[0] <= file.samplerate <= _RATES[1]:  # resampling others takes memory without bounds
                raise ImageError(
                    f"{name} has {file.samplerate:,} samples a second; from {_RATES[0]:,} to {_RATES[1]:,} are read.",
                    reason="its rate is out of bounds",
                    found=file.samplerate,
                )
            first = round(start * file.samplerate)
            if first and first >= file.frames:
                raise ImageError(
                    f"{name} is {file.frames / file.samplerate:.3g} s long, and its part begins at {start:g} s."
                )
            _check_channels(file.channels, name)
            file.seek(first)
            wanted = math.ceil((seconds + _MARGIN) * file.samplerate)
            values = file.read(min(wanted, file.frames - first), dtype="float32", always_2d=True)
            return Samples(values, file.samplerate, file.frames / file.samplerate)
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".") or "it is no sound"
        raise ImageError(
            f"{name} cannot be read as sound: {reason}. To convert it: {_CONVERT}", reason=reason
        ) from error


def seconds_in(source: Path | bytes) -> float:
    """Return how long a sound file is.

    Raises:
        MissingExtraError: soundfile is not installed.
        RuntimeError: it is none.
    """
    with _require_soundfile().SoundFile(BytesIO(source) if isinstance(source, bytes) else str(source)) as file:
        return float(file.frames / file.samplerate)


def as_samples(values: NDArray[Any], rate: int | None, name: str) -> Samples:
    """Return an array as sound.

    Args:
        values: (n,), (n, channels) or (channels, n): floats in [-1, 1], or integers of the full range of their format.
        rate: samples a second.
        name: what errors call it.

    Raises:
        ImageError: no rate, another shape, no samples, NaN, or floats on another scale.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or not _RATES[0] <= rate <= _RATES[1]:
        raise ImageError(
            f"{name}: samples need their rate, a whole number of samples a second from {_RATES[0]:,} to {_RATES[1]:,}: "
            f"maezoo.Sound(samples, rate); got {rate!r}.",
            found=rate,
        )
    if values.ndim not in (1, 2) or 0 in values.shape or values.dtype.kind not in "iuf":
        raise ImageError(
            f"{name}: sound is an array (n,) or (n, channels) of numbers, and not empty; got {values.dtype} "
            f"{tuple(values.shape)}.",
            found=tuple(values.shape),
        )
    if values.ndim == 1:
        values = values[:, None]
    elif values.shape[0] < values.shape[1]:
        values = values.T
    _check_channels(values.shape[1], name)
    if values.dtype.kind in "iu":
        bounds = np.iinfo(values.dtype)
        middle = (bounds.max + 1) // 2 if values.dtype.kind == "u" else 0
        values = (values.astype(np.float64) - middle) / (bounds.max + 1 - middle)
    return Samples(values, int(rate), len(values) / rate)


def prepare_sound(samples: Samples, preprocess: Preprocessing, name: str, scaling: Scaling) -> NDArray[np.float32]:
    """Turn sound to log-mel energies, (frames, bands, 1) of the size wanted.

    One channel is made of two by their mean. Other rates are resampled to 16 kHz. What is shorter is filled with zeros
    after the logarithm, as in training; of what is longer the first part is used, and that is told.

    Raises:
        ImageError: less than 25 ms, NaN, or values on another scale than [-1, 1].
        MissingExtraError: another rate than 16 kHz, and SciPy is not installed.
    """
    frames, bands = preprocess.size
    values = samples.values
    if values.shape[1] > 1:
        scaling.tell("%s has %d channels; their mean is used.", name, values.shape[1])
    mono = values.mean(axis=1, dtype=np.float64)
    most = float(np.abs(mono).max(initial=0))
    if not most < _LOUDEST:  # NaN is not less
        shown = f"values up to {most:g}" if math.isfinite(most) else "NaN or infinity"
        raise ImageError(f"{name} holds {shown}; sound in floats is from -1 to 1: divide it first.", reason=shown)
    wave = _resampled(mono, samples.rate)[: (frames - 1) * SHIFT + FRAME]
    if len(wave) < FRAME:
        raise ImageError(
            f"{name} is {1000 * len(mono) / samples.rate:.3g} ms long; at least {1000 * FRAME // RATE} ms are needed.",
            reason="it is too short",
        )
    length = frames * SHIFT / RATE
    if samples.seconds > length + FRAME / RATE:
        scaling.tell(
            "%s is %.3g s long, of which the first %.4g s are used; maezoo.Sound(…).windows() gives all parts.",
            name, samples.seconds, length,
        )  # fmt: skip
    return prepare_log_mel(log_mel(wave, bands), preprocess, name, scaling)


def prepare_log_mel(
    energies: NDArray[Any], preprocess: Preprocessing, name: str, scaling: Scaling
) -> NDArray[np.float32]:
    """Cut or fill natural log-mel energies (frames, bands) to the size wanted: (frames, bands, 1) float32.

    Of what is longer the first part is used, and that is told.

    Raises:
        ImageError: another shape or dtype, or NaN.
    """
    frames, bands = preprocess.size
    found = energies[:, :, 0] if energies.ndim == 3 and energies.shape[2] == 1 else energies
    if found.ndim != 2 or found.shape[1] != bands or not len(found) or found.dtype.kind != "f":
        raise ImageError(
            f"{name}: sound is a file, maezoo.Sound(samples, rate), or log-mel energies in floats, (frames, {bands}); "
            f"got {energies.dtype} {tuple(energies.shape)}.",
            expected=(frames, bands),
            found=tuple(energies.shape),
        )
    if not np.isfinite(found).all():
        raise ImageError(f"{name} holds NaN or infinity.", reason="it holds NaN or infinity")
    if len(found) > frames:
        scaling.tell("%s has %d frames, of which the first %d are used.", name, len(found), frames)
    filled = np.zeros((frames, bands, 1), np.float32)
    filled[: len(found), :, 0] = found[:frames]
    return filled


def _resampled(mono: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Return samples at 16 kHz."""
    if rate == RATE:
        return mono
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise MissingExtraError.for_extra("audio", f"resampling from {rate:,} to {RATE:,} Hz") from error
    common = math.gcd(rate, RATE)
    found: NDArray[np.float64] = resample_poly(mono, RATE // common, rate // common)
    return found


def _check_channels(channels: int, name: str) -> None:
    if channels > _MOST_CHANNELS:
        raise ImageError(
            f"{name} has {channels} channels, of which nobody says how they become one; pass one of them: "
            "maezoo.Sound(samples[:, 0], rate).",
            reason=f"{channels} channels",
            found=channels,
        )


def _require_soundfile() -> ModuleType:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: libsndfile itself is missing
        raise MissingExtraError.for_extra("audio", "reading sound") from error
    module: ModuleType = soundfile
    return module
