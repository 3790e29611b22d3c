"""Figures of sounds are read as spectrograms are: time to the right, frequency upwards."""

import numpy as np
import pytest
import torch

import maezoo
from maezoo import figures
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, build_mae
from maezoo.model.facts import Facts

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def listener() -> maezoo.MAE:
    rule = Preprocessing((256, 128), mean=(-4.27,), std=(9.14,), kind="sound")
    plain = build_mae(VARIANTS["mae_vit_tiny"], facts=Facts(in_chans=1), img_size=rule.size)
    return maezoo.MAE(plain.encoder, plain.decoder, preprocess=rule, facts=plain.facts, name="listener").eval()


@pytest.fixture(scope="module")
def rising() -> maezoo.Sound:
    seconds = np.arange(int(2.56 * 16_000)) / 16_000
    return maezoo.Sound(0.2 * np.sin(2 * np.pi * (300 + 500 * seconds) * seconds), 16_000)


def shown(axis: object) -> np.ndarray:
    return np.ma.getdata(axis.images[0].get_array())  # type: ignore[attr-defined]


def test_a_rising_tone_rises_to_the_right(listener: maezoo.MAE, rising: maezoo.Sound) -> None:
    made = listener.reconstruct(rising)
    original, *others = figures.plot_reconstruction(made).axes
    loudest = shown(original)[..., 0].argmax(axis=0)[:250:50]
    assert shown(original).shape == (128, 256, 3)
    assert (np.diff(loudest) < 0).all()  # rows are counted from the top
    assert shown(others[3]).shape == (16, 32)  # errors of the patches


def test_maps_of_patches_lie_in_their_place(listener: maezoo.MAE, rising: maezoo.Sound) -> None:
    values = torch.zeros(32, 16)
    values[5, 2] = 1  # the sixth part of time, the third of frequency
    for given in (values, values.flatten()):
        drawn = shown(figures.plot_map(rising, given, model=listener).axes[1])
        assert drawn.shape == (16, 32)
        assert np.argwhere(drawn == 1).tolist() == [[13, 5]]
    picture, panel, _ = figures.plot_similarity(listener, rising, [(5, 2)]).axes
    assert [frame.get_xy() for frame in panel.patches] == [(4.5, 12.5)] * 2
    assert [frame.get_xy() for frame in picture.patches] == [(39.5, 103.5)] * 2
    assert shown(panel)[13, 5] == pytest.approx(1)
    assert shown(figures.plot_attention(listener, rising).axes[1]).shape == (16, 32)
    assert shown(figures.plot_components(listener, rising).axes[2]).shape == (16, 32)
