"""The autoencoder on tensors: shapes, masks, sizes, channels, gradients."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from maezoo.errors import DecoderMissingError, MaskError, SizeError
from maezoo.masks.draw import random_mask
from maezoo.masks.visible import visible_indices
from maezoo.model import (
    VARIANTS,
    Decoder,
    MaskedAutoencoder,
    Variant,
    build_encoder,
    build_mae,
    patchify,
    sincos_positions,
    unpatchify,
)

SMALL = Variant("small", 32, 8, 24, 2, 2, 16, 1, 2)


@pytest.fixture
def model() -> MaskedAutoencoder:
    return build_mae(SMALL).eval()


def test_published_sizes() -> None:
    rows = {v.name: (v.patch_size, v.embed_dim, v.depth, v.num_heads) for v in VARIANTS.values()}
    assert rows["mae_vit_base"] == (16, 768, 12, 12)
    assert rows["mae_vit_large"] == (16, 1024, 24, 16)
    assert rows["mae_vit_huge"] == (14, 1280, 32, 16)
    for name in ("mae_vit_base", "mae_vit_large", "mae_vit_huge"):
        variant = VARIANTS[name]
        assert (variant.decoder_dim, variant.decoder_depth, variant.decoder_heads) == (512, 8, 16)


def test_norms_use_the_papers_epsilon(model: MaskedAutoencoder) -> None:
    norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 2 * 2 + 1 + 2 * 1 + 1
    assert {norm.eps for norm in norms} == {1e-6}


def test_starting_values_are_the_papers() -> None:
    model = build_mae(VARIANTS["mae_vit_tiny"])
    qkv = model.encoder.blocks[0].attn.qkv
    bound = (6 / (qkv.in_features + qkv.out_features)) ** 0.5
    assert qkv.weight.abs().max() <= bound
    assert qkv.weight.abs().max() > 0.98 * bound
    assert not qkv.bias.any()
    filters = model.encoder.patch_embed.proj.weight
    assert filters.abs().max() <= (6 / (192 + 192)) ** 0.5 + 1e-6  # as a linear layer of 192 inputs
    assert torch.equal(model.pos_embed, sincos_positions((12, 12), 192))
    assert 0.01 < model.cls_token.std() < 0.03


def test_every_trainable_parameter_gets_a_gradient(model: MaskedAutoencoder) -> None:
    model(torch.randn(2, 3, 32, 32), mask_ratio=0.75).loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["encoder.pos_embed", "decoder.pos_embed"]


def test_gradient_checkpointing_gives_the_same_gradients(model: MaskedAutoencoder) -> None:
    other = copy.deepcopy(model)
    other.set_grad_checkpointing()
    images, mask = torch.randn(2, 3, 32, 32), random_mask(2, (4, 4), seed=0)
    model(images, mask).loss.backward()
    other(images, mask).loss.backward()
    for (name, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_visible_patches_alone_are_encoded(model: MaskedAutoencoder) -> None:
    """What stands in hidden patches cannot matter."""
    images, mask = torch.randn(2, 3, 32, 32), random_mask(2, (4, 4), seed=0)
    hidden = unpatchify(mask[:, :, None].expand(-1, -1, 192), 8, (4, 4))
    visible = visible_indices(mask)
    spoilt = images.masked_fill(hidden, 1e6)
    with torch.no_grad():
        assert torch.equal(model.encode_tokens(images, visible), model.encode_tokens(spoilt, visible))
        assert torch.equal(model.predict(images, mask), model.predict(spoilt, mask))


def test_everything_visible_is_the_unmasked_encoding(model: MaskedAutoencoder) -> None:
    images = torch.randn(2, 3, 32, 32)
    everything = torch.arange(16).expand(2, -1)
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode_tokens(images, everything), model.encode_tokens(images), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_extreme_ratios_are_legal(model: MaskedAutoencoder, ratio: float) -> None:
    output = model(torch.randn(2, 3, 32, 32), mask_ratio=ratio)
    assert output.mask.sum() == 32 * ratio
    assert torch.isfinite(output.loss)
    assert (output.loss == 0) == (ratio == 0)
    output.loss.backward()


def test_rows_may_hide_different_numbers(model: MaskedAutoencoder) -> None:
    images = torch.randn(4, 3, 32, 32)
    mask = torch.zeros(4, 16, dtype=torch.bool)
    for row, hidden in enumerate((3, 9, 3, 16)):
        mask[row, :hidden] = True
    with torch.no_grad():
        together = model.predict(images, mask)
        alone = torch.cat([model.predict(images[i : i + 1], mask[i : i + 1]) for i in range(4)])
        loss = model(images, mask).loss
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    error = (together - patchify(images, 8)).square().mean(-1)
    torch.testing.assert_close(loss, error[mask].mean())


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (8, 8), (48, 40)])
def test_any_grid(model: MaskedAutoencoder, size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size)
    patches = size[0] * size[1] // 64
    output = model(images, mask_ratio=0.5)
    assert output.prediction.shape == (2, patches, 192)
    assert model.encode_tokens(images).shape == (2, 1 + patches, 24)


def test_another_size_at_creation_and_at_run_time_are_one(model: MaskedAutoencoder) -> None:
    from maezoo.model import resize_positions

    other = build_mae(SMALL, img_size=(64, 32)).eval()
    state = model.state_dict()
    for part in ("encoder", "decoder"):
        state[f"{part}.pos_embed"] = resize_positions(state[f"{part}.pos_embed"], (4, 4), (8, 4))
    other.load_state_dict(state)
    images, mask = torch.randn(1, 3, 64, 32), random_mask(1, (8, 4), seed=0)
    with torch.no_grad():
        torch.testing.assert_close(model.predict(images, mask), other.predict(images, mask))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels(channels: int) -> None:
    model = build_mae(SMALL, in_chans=channels)
    output = model(torch.randn(2, channels, 32, 32))
    assert output.prediction.shape == (2, 16, 64 * channels)
    output.loss.backward()


def test_wrong_sizes_name_the_nearest_valid_one(model: MaskedAutoencoder) -> None:
    with pytest.raises(SizeError, match=r"30x33 .* nearest valid size is 32x32"):
        model(torch.randn(1, 3, 30, 33))
    with pytest.raises(SizeError, match=r"\(B, 3, H, W\); got \(1, 1, 32, 32\)"):
        model(torch.randn(1, 1, 32, 32))


def test_wrong_masks(model: MaskedAutoencoder) -> None:
    images = torch.randn(2, 3, 32, 32)
    with pytest.raises(MaskError, match=r"shape \(2, 16\).*got \(2, 9\)"):
        model(images, torch.zeros(2, 9, dtype=torch.bool))
    with pytest.raises(MaskError, match="float32"):
        model(images, torch.zeros(2, 16))


def test_an_encoder_alone_cannot_predict() -> None:
    model = build_mae(SMALL, decoder=False)
    with pytest.raises(DecoderMissingError):
        model(torch.randn(1, 3, 32, 32))


def test_parts_that_do_not_fit_are_refused() -> None:
    encoder = build_encoder(SMALL)
    decoder = Decoder(embed_dim=32, dim=16, depth=1, num_heads=2, patch_size=8, grid_size=(4, 4))
    with pytest.raises(ValueError, match="do not fit"):
        MaskedAutoencoder(encoder, decoder)
    with pytest.raises(ValueError, match="class token"):
        MaskedAutoencoder(build_encoder(SMALL, class_token=False, global_pool="avg"))
    with pytest.raises(ValueError, match="normpix"):
        MaskedAutoencoder(build_encoder(SMALL), target="pixels")  # type: ignore[arg-type]


def test_block_tokens_agree_with_timm(model: MaskedAutoencoder) -> None:
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        ours = model.block_tokens(images, [-1, 0], norm=True)
        theirs = model.encoder.get_intermediate_layers(images, n=[0, 1], norm=True)
    assert torch.equal(ours[1][:, 1:], theirs[0])
    assert torch.equal(ours[0][:, 1:], theirs[1])
    with pytest.raises(IndexError, match="0 to 1"):
        model.block_tokens(images, [2])


def test_autocast(model: MaskedAutoencoder) -> None:
    images, mask = torch.randn(2, 3, 32, 32), random_mask(2, (4, 4), seed=0)
    plain = model(images, mask)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(images, mask)
    assert output.loss.dtype == torch.float32
    torch.testing.assert_close(output.loss, plain.loss, rtol=0.05, atol=0.05)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's own look at tensors
def test_compile_breaks_its_graph_at_one_place(model: MaskedAutoencoder) -> None:
    images, mask = torch.randn(2, 3, 32, 32), random_mask(2, (4, 4), seed=0)
    explanation = torch._dynamo.explain(model)(images, mask)
    places = {reason.user_stack[-1].name for reason in explanation.break_reasons}
    assert places in ({"predict_rows"}, {"traced_indices"})  # PyTorch 2.9 breaks in the second, which the first calls
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(compiled(images, mask).loss, model(images, mask).loss)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of torch.distributed about itself
def test_distributed_data_parallel(model: MaskedAutoencoder, tmp_path: Path) -> None:
    images, mask = torch.randn(2, 3, 32, 32), random_mask(2, (4, 4), seed=0)
    model(images, mask).loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    rendezvous = (tmp_path / "rendezvous").as_uri()
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        parallel(images, mask=mask).loss.backward()
        for name, gradient in expected.items():
            torch.testing.assert_close(model.get_parameter(name).grad, gradient, msg=name)
    finally:
        torch.distributed.destroy_process_group()


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(0, 3),
    channels=st.integers(1, 4),
    patch=st.sampled_from([1, 2, 3, 7]),
    h=st.integers(1, 5),
    w=st.integers(1, 5),
)
def test_unpatchify_undoes_patchify(batch: int, channels: int, patch: int, h: int, w: int) -> None:
    images = torch.rand(batch, channels, h * patch, w * patch)
    patches = patchify(images, patch)
    assert patches.shape == (batch, h * w, patch * patch * channels)
    assert torch.equal(unpatchify(patches, patch, (h, w)), images)


def test_positions_of_a_wide_grid_put_the_column_first() -> None:
    positions = sincos_positions((2, 3), 8)[0]
    assert not positions[0].any()
    same_column = positions[1 + 1][:4], positions[1 + 4][:4]  # patches (0, 1) and (1, 1)
    assert torch.equal(*same_column)
    same_row = positions[1 + 3][4:], positions[1 + 5][4:]  # patches (1, 0) and (1, 2)
    assert torch.equal(*same_row)
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos_positions((2, 2), 6)
