"""Log-mel energies of sound as AudioMAE was trained on them: Kaldi's filter bank, in NumPy alone.

The numbers are those of `torchaudio.compliance.kaldi.fbank(htk_compat=True, window_type="hanning", num_mel_bins=128,
dither=0, frame_shift=10)` with its other defaults, which the training's `dataset.py` calls; tests hold them to it.
Kaldi's own library for Python does not take 128 bands at 16 kHz: some of the lowest hold no frequency of the transform.
Source: https://github.com/facebookresearch/AudioMAE/blob/877faec3ea61641c12fe68fb72fef88ff8f907d4/dataset.py
"""

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = ["FRAME", "RATE", "SHIFT", "band_centres", "log_mel"]

RATE = 16_000  # samples a second
FRAME, SHIFT = 400, 160  # samples: 25 and 10 ms
_TRANSFORM = 512  # the next power of two
_PRE_EMPHASIS = 0.97
_LOWEST = 20.0  # Hz
_FLOOR = float(np.finfo(np.float32).eps)


def log_mel(samples: NDArray[np.floating], bands: int) -> NDArray[np.float32]:
    """Return natural logarithms of the mel bands' energies.

    Args:
        samples: (n,) at 16 kHz, in [-1, 1]; their mean is taken out first, as in training.
        bands: how many.

    Returns:
        (frames, bands) float32; 1 + (n - 400) // 160 frames, none if there are fewer than 400 samples.

    Example:
        >>> log_mel(np.zeros(16_000), 128).shape
        (98, 128)
    """
    if len(samples) < FRAME:
        return np.empty((0, bands), np.float32)
    wave = samples.astype(np.float64)
    wave -= wave.mean()
    frames = np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::SHIFT]  # (frames, 400)
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = np.fft.rfft((frames - _PRE_EMPHASIS * before) * np.hanning(FRAME), _TRANSFORM)  # (frames, 257)
    energies = (spectrum.real**2 + spectrum.imag**2)[:, : _TRANSFORM // 2] @ _filters(bands).T  # (frames, bands)
    found: NDArray[np.float32] = np.log(np.maximum(energies, _FLOOR)).astype(np.float32)
    return found


def band_centres(bands: int) -> NDArray[np.float64]:
    """Return the middle frequency of each mel band, (bands,) in Hz, rising."""
    return _hertz(np.linspace(_mel(np.array(_LOWEST)), _mel(np.array(RATE / 2)), bands + 2)[1:-1])


@functools.lru_cache(maxsize=4)
def _filters(bands: int) -> NDArray[np.float64]:
    """Return the weight of each frequency in each band, (bands, 256): triangles on the mel scale."""
    edges = np.linspace(_mel(np.array(_LOWEST)), _mel(np.array(RATE / 2)), bands + 2)[:, None]
    mel = _mel(np.arange(_TRANSFORM // 2) * (RATE / _TRANSFORM))[None]  # (1, 256)
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def _mel(hertz: NDArray[np.floating]) -> NDArray[np.float64]:
    return 1127 * np.log1p(hertz / 700)


def _hertz(mel: NDArray[np.floating]) -> NDArray[np.float64]:
    return 700 * np.expm1(mel / 1127)
