"""A synthetic sound, speech-like with a rising tone: its windows become features, and one is reconstructed.

The weights are random, so that it runs without the network: the features and the reconstruction mean nothing. With
`pretrained=True` the published encoder is fetched; it comes without a decoder.

python examples/sound.py -o sound.png
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import torch

import maezoo

RATE = 22_050


def make_sound(seconds: float = 15, seed: int = 0) -> np.ndarray:
    """Make syllables, a buzz with two moving resonances each, and a rising tone from 8 s on: (n,) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.4 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    lower, upper = 500 + 250 * np.sin(2 * np.pi * 1.3 * t), 1600 + 600 * np.sin(2 * np.pi * 0.9 * t + 1)
    speech = np.zeros_like(t)
    for harmonic in range(1, 40):
        near = np.exp(-(((harmonic * pitch - lower) / 150) ** 2)) + 0.6 * np.exp(
            -(((harmonic * pitch - upper) / 220) ** 2)
        )
        speech += near * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 1.8 * t), 0, None) * (t < 7.5)
    chirp = np.sin(2 * np.pi * (300 * (t - 8) + 300 * (t - 8) ** 2)) * ((t > 8) & (t < 14))
    return (0.15 * speech * syllables + 0.3 * chirp + rng.normal(0, 0.002, len(t))).astype(np.float32)


def main(output: Path) -> torch.Tensor:
    """Write the sound, print the shape of its features, and draw spectrograms."""
    path = output.with_suffix(".wav")
    soundfile.write(path, make_sound(), RATE)  # it is resampled to 16 kHz when it is read
    model = maezoo.create("mae_vit_base.audioset", device="cpu")  # pretrained=True for the published weights
    parts = maezoo.Sound(path).windows()  # of 10.24 s; the last one is filled with zeros
    vectors = model.features(parts, pool="mean")
    print(f"{path}: {len(parts)} parts, features {tuple(vectors.shape)}")
    model.reconstruct(parts[0], mask_ratio=0.5).save(output, labels=True)
    print(f"{output}: original, masked, and the reconstruction by random weights")
    return vectors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("sound.png"))
    main(parser.parse_args().output)
