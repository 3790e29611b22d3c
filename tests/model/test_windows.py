"""Attention in windows: exact where one window covers the map, and local elsewhere."""

import pytest
import torch
from torch import nn

from maezoo.model import build_encoder, find_variant
from maezoo.model.trunk import Trunk
from maezoo.model.windows import spread_blocks, windowed_attention


@pytest.fixture(scope="module")
def encoder():
    return build_encoder(find_variant("mae_vit_tiny"), img_size=192, patch_size=16).eval()


@pytest.mark.parametrize(("window", "size"), [(14, (224, 224)), (14, (96, 160)), (6, (96, 64)), (40, (224, 320))])
def test_one_window_that_covers_the_map_is_full_attention_to_the_bit(encoder, window, size):
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(Trunk(encoder, window_size=window, global_blocks=())(images), Trunk(encoder)(images))


def test_windows_that_fill_the_map_attend_as_separate_images_would():
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()

    def attend(x):
        return attention(x, x, x, need_weights=False)[0]

    tokens = torch.randn(2, 1 + 4 * 6, 8)
    class_token, patches = tokens[:, :1], tokens[:, 1:].reshape(2, 4, 6, 8)
    found = windowed_attention(attend, tokens, (4, 6), 2)
    classes = []
    for row in range(0, 4, 2):
        for column in range(0, 6, 2):
            window = patches[:, row : row + 2, column : column + 2].reshape(2, 4, 8)
            alone = attend(torch.cat([class_token, window], dim=1))
            classes.append(alone[:, 0])
            there = found[:, 1:].reshape(2, 4, 6, 8)[:, row : row + 2, column : column + 2]
            torch.testing.assert_close(there, alone[:, 1:].reshape(2, 2, 2, 8))
    torch.testing.assert_close(found[:, 0], torch.stack(classes).mean(dim=0))


def test_a_map_that_windows_do_not_fill_is_padded_with_zeros_at_the_right_and_below():
    seen = []

    def remember(x):
        seen.append(x)
        return x

    tokens = torch.randn(1, 1 + 3 * 5, 4)
    assert torch.equal(windowed_attention(remember, tokens, (3, 5), 2)[:, 1:], tokens[:, 1:])
    (windows,) = seen
    assert windows.shape == (6, 1 + 4, 4)
    last = windows[-1, 1:].reshape(2, 2, 4)
    assert torch.equal(last[0, 0], tokens[0, -1])
    assert not last.flatten(0, 1)[1:].any()


def test_a_patch_is_seen_in_its_window_alone_until_a_global_block(encoder):
    images = torch.randn(1, 3, 128, 128)
    changed = images.clone()
    changed[..., :16, :16] = 3
    reached = {}
    with torch.no_grad():
        for name, blocks in (("none", ()), ("last", (-1,))):
            trunk = Trunk(encoder, window_size=4, global_blocks=blocks)
            reached[name] = (trunk(images) - trunk(changed)).abs().amax(dim=1)[0]  # (8, 8)
    # The class token is in every window, so a little passes through it; within the window it is far more.
    assert reached["none"][:4, :4].min() > 2 * reached["none"][4:, 4:].max()
    assert reached["last"][4:, 4:].max() > reached["none"][4:, 4:].max()


def test_the_default_global_blocks_are_those_of_vitdet(encoder):
    assert spread_blocks(32) == (7, 15, 23, 31)
    assert Trunk(encoder, window_size=14).global_blocks == {1, 2, 4, 5}
    assert Trunk(encoder, window_size=14, global_blocks=(-1, 0)).global_blocks == {0, 5}
