import pytest
import torch

import maezoo
from maezoo import figures
from maezoo.errors import ArgumentError, LayerError
from maezoo.figures import class_attention


def timm_attention(model, images, layer):
    """What timm's own unfused attention computes, caught where it drops weights out."""
    attention = model.encoder.blocks[layer].attn
    found = []
    handle = attention.attn_drop.register_forward_hook(lambda module, inputs, output: found.append(output))
    fused, attention.fused_attn = attention.fused_attn, False
    try:
        with torch.no_grad():
            model.encode_tokens(images)
    finally:
        attention.fused_attn = fused
        handle.remove()
    return found[0][:, :, 0, 1:]


@pytest.mark.parametrize("layer", [0, 3, -1])
def test_weights_are_those_of_timms_unfused_attention(model, four, layer):
    images = model.prepare(four)
    (maps,) = class_attention(model, images, layers=[layer])
    assert maps.shape == (4, 3, 12, 12)
    torch.testing.assert_close(maps.flatten(2), timm_attention(model, images, layer), atol=1e-6, rtol=1e-4)


def test_weights_are_shares(model, four):
    for maps in class_attention(model, four, layers=range(6), batch_size=3):
        assert maps.min() >= 0
        assert maps.sum(dim=(2, 3)).max() <= 1 + 1e-6


def test_layers_come_in_the_order_asked_for_and_may_repeat(model, four):
    a, b, c = class_attention(model, four[:1], layers=(5, 0, -1))
    assert torch.equal(a, c)
    assert not torch.equal(a, b)


def test_no_hook_stays_behind(model, four):
    class_attention(model, four[:1])
    with pytest.raises(IndexError, match="blocks 0 to 5"):
        class_attention(model, four[:1], layers=(6,))
    assert not any(block.attn._forward_pre_hooks for block in model.encoder.blocks)


def test_any_grid_is_drawn(wide, four, draw):
    picture = draw(figures.plot_attention(wide, four[1], layers=(0, -1)))
    assert picture.width > 900
    assert len(picture.getcolors(10**6)) > 50


def test_no_image_gives_empty_maps_and_is_not_drawn(model):
    assert class_attention(model, [])[0].shape == (0, 3, 12, 12)
    assert figures.patch_similarity(model, [], (0, 0)).shape == (0, 12, 12)
    assert model.feature_maps([])[0].shape == (0, 192, 12, 12)
    coef = torch.ones(2, 192), torch.zeros(2)
    assert figures.patch_contributions(model, [], coef).patches.shape == (0, 2, 12, 12)
    for draw in (
        lambda: figures.plot_attention(model, []),
        lambda: figures.plot_similarity(model, [], [(0, 0)]),
        lambda: figures.patch_components(model, []),
        lambda: figures.plot_map(torch.zeros(0, 3, 8, 8), torch.zeros(0, 2, 2)),
    ):
        with pytest.raises(ArgumentError, match="there is no image"):
            draw()
    with pytest.raises(LayerError, match="at least one"):
        figures.plot_attention(model, maezoo.sample("cat"), layers=())
