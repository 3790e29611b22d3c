"""A file fills a model exactly, or the error says why not."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models._manipulate import adapt_input_conv

from maezoo.checkpoints.adapt import adapt_filters
from maezoo.checkpoints.load import load_file_into
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.reader import open_weights
from maezoo.checkpoints.save import save_model
from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, Decoder, MaskedAutoencoder, build_encoder, build_mae
from maezoo.model.facts import Facts
from maezoo.model.variants import Variant
from tests.weight_files import in_layout

TINY = VARIANTS["mae_vit_tiny"]
PATCH8 = Variant("patch8", 32, 8, 48, 3, 3, 32, 2, 4)


def empty(**options) -> MaskedAutoencoder:
    with torch.device("meta"):
        return build_mae(TINY, init=False, **options)


@pytest.mark.parametrize("layout", ["maezoo", "fair", "transformers"])
@pytest.mark.parametrize("given", [True, False], ids=["named", "recognised"])
def test_every_layout_gives_the_same_model(tiny_file, tiny_state, layout, given):
    model = empty()
    report = load_file_into(model, tiny_file(layout), layout if given else None)
    assert report.layout == layout
    assert not report.dropped
    assert set(report.loaded) == set(tiny_state)
    assert all(torch.equal(tensor, tiny_state[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["patch8", "patch14"])
@pytest.mark.parametrize("layout", ["fair", "transformers"])
def test_reference_files_reproduce_the_reference_encoder(golden, name, layout):
    vectors = load_file(golden / f"{name}.vectors.safetensors")
    numbers = {"patch8": PATCH8, "patch14": Variant("patch14", 56, 14, 32, 2, 2, 32, 1, 2)}[name]
    model = build_mae(numbers)
    load_file_into(model, golden / f"{name}.{layout}.safetensors")
    with torch.no_grad():
        tokens = model.encode_tokens(vectors["images"])
    assert torch.allclose(tokens, vectors["tokens"], atol=1e-5)


def test_the_newer_spelling_of_transformers_loads_too(tiny_file, tiny_state):
    def respell(tensors):
        for key in list(tensors):
            tensors[key.replace("decoder.decoder_layers.", "decoder.decoder_encoder.layer.")] = tensors.pop(key)

    model = empty()
    load_file_into(model, tiny_file("transformers", change=respell))
    assert torch.equal(model.state_dict()["decoder.blocks.0.norm1.bias"], tiny_state["decoder.blocks.0.norm1.bias"])


def test_tensors_are_mapped_and_not_copied(tiny_file):
    model = empty()
    load_file_into(model, tiny_file("maezoo"))
    one, two = (model.state_dict()[f"encoder.blocks.0.norm1.{kind}"] for kind in ("weight", "bias"))
    assert one.untyped_storage().data_ptr() != two.untyped_storage().data_ptr() or one.storage_offset() != 0
    assert not any(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("layout", ["fair", "transformers", "maezoo"])
def test_a_full_file_into_an_encoder_drops_the_decoder_by_name(tiny_file, layout):
    model = empty(decoder=False)
    report = load_file_into(model, tiny_file(layout))
    assert report.dropped
    assert all("decoder" in key or key == "mask_token" for key in report.dropped)


@pytest.mark.parametrize("layout", ["timm", "transformers", "maezoo"])
def test_an_encoder_fills_a_full_model_only_when_asked_to(tiny_file, layout):
    path = tiny_file(layout, decoder=False)
    model = build_mae(TINY)
    with pytest.raises(LayoutError, match="encoder alone: pass decoder=False"):
        load_file_into(model, path)
    before = model.decoder.mask_token.clone()
    report = load_file_into(model, path, parts=["encoder"])
    assert all(key.startswith("encoder.") for key in report.loaded)
    assert torch.equal(before, model.decoder.mask_token)


def test_a_decoder_alone_may_be_filled(tiny_file, tiny_state):
    model = build_mae(TINY)
    report = load_file_into(model, tiny_file("fair"), parts=["decoder"])
    assert "cls_token" in report.dropped
    assert torch.equal(model.decoder.mask_token, tiny_state["decoder.mask_token"])
    with pytest.raises(LayoutError, match="parts="):
        load_file_into(empty(decoder=False), tiny_file("fair"), parts=["decoder"])


@pytest.mark.parametrize("layout", ["maezoo", "fair", "transformers"])
@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        pytest.param(lambda t, k: t.pop(k), LayoutError, "lacks", id="missing"),
        pytest.param(lambda t, k: t.update({f"{k}.more": t[k] * 1}), LayoutError, "no place for", id="extra"),
        pytest.param(lambda t, k: t.update({k: t[k].T.contiguous()}), LayoutError, "has shape", id="transposed"),
        pytest.param(lambda t, k: t[k].view(-1)[5:6].fill_(float("nan")), IntegrityError, "NaN", id="NaN"),
        pytest.param(lambda t, k: t[k].view(-1)[5:6].fill_(float("inf")), IntegrityError, "NaN", id="infinity"),
    ],
)
def test_a_wrong_key_or_value_is_named(tiny_file, layout, damage, error, words):
    key = {"maezoo": "encoder.blocks.1.mlp.fc1.weight", "fair": "blocks.1.mlp.fc1.weight"}.get(
        layout, "vit.encoder.layer.1.intermediate.dense.weight"
    )
    path = tiny_file(layout, change=lambda tensors: damage(tensors, key))
    with pytest.raises(error, match=words) as caught:
        load_file_into(empty(), path)
    assert "blocks.1.mlp.fc1.weight" in str(caught.value) or key in str(caught.value)


def test_heads_are_dropped_by_name(tiny_file):
    report = load_file_into(
        empty(), tiny_file("fair", change=lambda tensors: tensors.update({"head.weight": torch.ones(10, 192)}))
    )
    assert report.dropped == ("head.weight",)


def write_header(path, header: dict | None, data: bytes = b"", length: int | None = None):
    text = json.dumps(header).encode() if header is not None else b""
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        pytest.param(None, b"", 2**60, id="a header of 2^60 bytes"),
        pytest.param(None, b"x" * 100, 50, id="no JSON"),
        pytest.param({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234", None, id="truncated"),
        pytest.param(
            {
                "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
            },
            b"x" * 12,
            None,
            id="overlapping",
        ),
        pytest.param({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"x" * 12, None, id="a hole"),
        pytest.param({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 8]}}, b"x" * 8, None, id="wrong shape"),
        pytest.param({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**62]}}, b"x", None, id="outside"),
    ],
)
def test_a_malformed_file_is_no_whole_file(tmp_path, header, data, length):
    path = write_header(tmp_path / "bad.safetensors", header, data, length)
    with pytest.raises(IntegrityError, match="not a whole safetensors file"):
        load_file_into(empty(), path)


def test_an_empty_and_a_missing_file_are_told_apart(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(IntegrityError):
        load_file_into(empty(), tmp_path / "empty")
    with pytest.raises(WeightsNotFoundError):
        load_file_into(empty(), tmp_path / "missing")
    with pytest.raises((WeightsNotFoundError, IntegrityError)):
        load_file_into(empty(), tmp_path)


def test_keys_of_no_layout_are_shown(tmp_path):
    save_file({"layers.0.w": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(LayoutError, match=r"layers\.0\.w"):
        load_file_into(empty(), tmp_path / "other.safetensors")


@pytest.mark.parametrize("size", [(64, 64), (64, 128), (192, 96)])
def test_positions_are_resized_in_encoder_and_decoder(tiny_file, size):
    model = empty(img_size=size)
    report = load_file_into(model, tiny_file("fair"))
    h, w = size[0] // 8, size[1] // 8
    assert set(report.adapted) == {"encoder.pos_embed", "decoder.pos_embed"}
    assert report.adapted["encoder.pos_embed"] == f"positions 12x12 -> {h}x{w}"
    assert model.decoder.pos_embed.shape == (1, 1 + h * w, model.decoder.dim)


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_channels_are_adapted_in_encoder_and_decoder(tiny_file, channels):
    model = empty(in_chans=channels)
    report = load_file_into(model, tiny_file("fair"))
    assert {key.rpartition(".")[0] for key in report.adapted} == {"encoder.patch_embed.proj", "decoder.pred"}
    assert model.decoder.pred.weight.shape[0] == 64 * channels


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_filters_are_adapted_as_timm_adapts_them(channels):
    filters = torch.randn(8, 3, 4, 4)
    torch.testing.assert_close(adapt_filters(filters, channels), adapt_input_conv(channels, filters))


def metadata(target="pixel", size=(96, 96), variant=TINY) -> WeightsMetadata:
    return WeightsMetadata(variant, target, Preprocessing(size=size), ("encoder", "decoder"))


def test_trainings_are_never_mixed(tmp_path):
    save_model(build_mae(TINY, target="normpix"), tmp_path / "normpix.safetensors", metadata=metadata("normpix"))
    model = build_mae(TINY, target="pixel")
    for parts in (None, ["encoder"], ["decoder"]):
        with pytest.raises(LayoutError, match="different trainings"):
            load_file_into(model, tmp_path / "normpix.safetensors", parts=parts)
    load_file_into(build_mae(TINY, decoder=False), tmp_path / "normpix.safetensors")


def test_a_grid_of_as_many_patches_in_another_shape_is_resized(tmp_path):
    wide = build_mae(TINY, img_size=(64, 128))
    save_model(wide, tmp_path / "wide.safetensors", metadata=metadata(size=(64, 128)))
    report = load_file_into(build_mae(TINY, img_size=(128, 64)), tmp_path / "wide.safetensors")
    assert report.adapted["encoder.pos_embed"] == "positions 8x16 -> 16x8"
    assert not load_file_into(build_mae(TINY, img_size=(64, 128)), tmp_path / "wide.safetensors").adapted


def test_the_epsilon_of_the_file_replaces_the_models(tmp_path):
    save_model(build_mae(TINY), tmp_path / "usual.safetensors", metadata=metadata())
    model = build_mae(TINY, facts=Facts(norm_epsilon=1e-12))
    load_file_into(model, tmp_path / "usual.safetensors")
    assert model.facts.norm_epsilon == 1e-6


def test_numbers_become_the_dtype_that_is_asked_for(tiny_file):
    model = empty()
    load_file_into(model, tiny_file("fair"), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_model_of_ones_own_is_filled(golden):
    encoder = build_encoder(PATCH8)
    decoder = Decoder(embed_dim=48, dim=32, depth=2, num_heads=4, patch_size=8, grid_size=(4, 4))
    model = MaskedAutoencoder(encoder, decoder)
    assert "loaded from the fair layout" in str(load_file_into(model, golden / "patch8.fair.safetensors"))


def test_the_transformers_layout_of_vit_b_has_the_published_size(tmp_path):
    with torch.device("meta"):
        model = build_mae(VARIANTS["mae_vit_base"], init=False)
    model = model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.zero_()
    path = tmp_path / "base.safetensors"
    save_model(model, path, layout="transformers")
    assert path.stat().st_size == 447_670_680
    assert len(in_layout(model.state_dict(), "transformers")) == 334


@pytest.mark.parametrize("other", [torch.zeros(4, 8, dtype=torch.float16), torch.zeros(4, 6), torch.zeros(())])
def test_tensors_that_do_not_belong_together_are_not_joined(tmp_path, other):
    path = tmp_path / "odd.safetensors"
    save_file({"q": torch.ones(4, 4), "k": torch.ones(2, 4), "v": other}, path)
    with open_weights(path) as file:
        assert torch.equal(file.read("q", "k"), torch.ones(6, 4))
        with pytest.raises(LayoutError, match="cannot be joined"):
            file.read("q", "k", "v")
