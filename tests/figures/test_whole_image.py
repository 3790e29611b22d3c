from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import maezoo
from maezoo.api.whole_image import complementary_masks, reconstruct_all
from maezoo.errors import ArgumentError, DecoderMissingError, MaskError


@given(st.tuples(st.integers(5, 16), st.integers(5, 16)), st.sampled_from([0.05, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9, 0.95]))
def test_every_patch_is_hidden_equally_often_and_every_mask_hides_its_share(grid, ratio):
    masks = complementary_masks(grid, ratio, seed=3)
    times = masks.sum(dim=0)
    assert masks.dtype == torch.bool
    assert (times == times[0]).all()
    assert times[0] / len(masks) == pytest.approx(ratio, abs=0.01)
    share = masks.float().mean(dim=1)
    assert share.min() > ratio - 0.2
    assert share.max() < ratio + 0.2


@pytest.mark.parametrize(("ratio", "masks"), [(0.5, 2), (0.25, 4), (0.2, 5), (0.1, 10)])
def test_each_patch_is_hidden_exactly_once_at_a_unit_fraction(ratio, masks):
    group = complementary_masks((12, 9), ratio)
    assert len(group) == masks
    assert (group.sum(dim=0) == 1).all()


def test_masks_follow_their_seed():
    assert torch.equal(complementary_masks((6, 7), 0.5, seed=1), complementary_masks((6, 7), 0.5, seed=1))
    assert not torch.equal(complementary_masks((6, 7), 0.5, seed=1), complementary_masks((6, 7), 0.5, seed=2))


@pytest.mark.parametrize("ratio", [0, 1, 0.01, 0.99, -1, float("nan"), "0.5", True])
def test_impossible_ratios_are_refused(ratio):
    with pytest.raises(MaskError, match=r"between 0\.05 and 0\.95"):
        complementary_masks((6, 6), ratio)


def test_a_grid_smaller_than_the_group_is_refused():
    with pytest.raises(MaskError, match="only 4 patches"):
        complementary_masks((2, 2), 0.9)


def test_it_is_put_together_from_what_reconstruct_gives_for_each_mask(model, four):
    whole = reconstruct_all(model, four, ratio=0.5, seed=7)
    first, second = (model.reconstruct(four, mask=mask) for mask in complementary_masks((12, 12), 0.5, seed=7))
    error = torch.where(first.mask, first.error, second.error)
    torch.testing.assert_close(whole.error, error)
    hidden = first.mask.reshape(-1, 1, 12, 12).repeat_interleave(8, 2).repeat_interleave(8, 3)
    torch.testing.assert_close(whole.pixels, torch.where(hidden, first.predicted, second.predicted), atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.original, first.original)
    assert whole.predictions == 1
    assert whole.spread.max() < 1e-4  # one prediction does not differ from itself


def test_error_is_the_error_of_the_mean_plus_the_spread(model, four):
    inputs = model.prepare(four)
    whole = reconstruct_all(model, inputs, ratio=0.75, rounds=2)
    assert whole.predictions == 6
    masks = torch.cat([complementary_masks((12, 12), 0.75, seed=seed) for seed in (0, 1)])
    predictions = torch.stack([model.predict(inputs, mask).detach() for mask in masks])  # (M, B, N, P*P*C)
    mean = (predictions * masks[:, None, :, None]).sum(dim=0) / 6
    torch.testing.assert_close(whole.error - whole.spread, model.patch_error(inputs, mean), atol=1e-4, rtol=1e-4)


def test_a_photo_gives_the_same_map_whatever_its_neighbours(model, four):
    together = reconstruct_all(model, four, batch_size=3)
    alone = reconstruct_all(model, four[2])
    torch.testing.assert_close(together.error[2:3], alone.error, atol=1e-5, rtol=1e-4)


def test_more_rounds_are_less_noisy(model, four):
    def disagreement(rounds):
        one, other = (reconstruct_all(model, four, rounds=rounds, seed=seed).error for seed in (0, 100))
        return (one - other).square().mean()

    assert disagreement(4) < disagreement(1)


def test_any_grid(wide, four):
    whole = reconstruct_all(wide, four[:2])
    assert whole.grid_size == (8, 14)
    assert whole.error_map.shape == (2, 8, 14)
    assert whole.pixels.shape == (2, 3, 64, 112)
    assert len(whole) == 2


def test_normalised_patches_get_their_colours_back_and_say_so(normpix, four):
    whole = reconstruct_all(normpix, four[:1], ratio=0.5)
    assert whole.uses_input_statistics
    patches = whole.pixels.unfold(2, 8, 8).unfold(3, 8, 8).mean(dim=(-2, -1))
    truth = whole.original.unfold(2, 8, 8).unfold(3, 8, 8).mean(dim=(-2, -1))
    assert (patches.mean(dim=1) - truth.mean(dim=1)).abs().max() < 0.1


def test_a_foreign_piece_stands_out(model, four):
    with Image.open(four[2]) as calm, Image.open(four[0]) as busy:
        photo = calm.resize((96, 96))
        piece = busy.resize((96, 96)).crop((32, 32, 56, 56))
    pasted = photo.copy()
    pasted.paste(piece, (56, 8))
    whole = reconstruct_all(model, [photo, pasted], rounds=2)
    surprise = whole.error_map[1] - whole.error_map[0]
    assert surprise[1:4, 7:10].mean() > 5 * surprise.abs().mean()


def test_no_image_gives_empty_maps(model):
    assert reconstruct_all(model, []).error_map.shape == (0, 12, 12)


def test_it_is_frozen(model):
    whole = reconstruct_all(model, torch.zeros(1, 3, 96, 96))
    with pytest.raises(FrozenInstanceError):
        whole.error = None


def test_it_needs_a_decoder_and_a_round(model, four):
    encoder = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)
    with pytest.raises(DecoderMissingError):
        reconstruct_all(encoder, four)
    with pytest.raises(ValueError, match="from 1 to 10,000; got 0"):
        reconstruct_all(model, four, rounds=0)


def test_rounds_are_whole_and_positive(model, four):
    one = reconstruct_all(model, four[:1], rounds=np.int64(1))
    assert torch.equal(one.error, reconstruct_all(model, four[:1]).error)
    for wrong in (0, 1.5, "2"):
        with pytest.raises(ArgumentError, match="rounds is the number"):
            reconstruct_all(model, four, rounds=wrong)
