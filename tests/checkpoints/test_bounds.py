"""Numbers and words from outside are looked at before anything is built of them."""

import copy
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import maezoo
from maezoo.api import factory
from maezoo.checkpoints.convert import convert
from maezoo.checkpoints.reader import open_weights
from maezoo.checkpoints.transformers_config import read_preprocessor
from maezoo.errors import IntegrityError, LayoutError
from maezoo.model.facts import mlp_ratio_of

NAN, INFINITY = float("nan"), float("inf")
NOT_WHOLE = [0, -1, True, 1.5, 12.0, "12", None, [], {}, 10**9, 10**30, NAN, INFINITY]


@pytest.fixture
def built(monkeypatch):
    """Whether anything was built."""
    calls = []
    real = factory.build_mae
    monkeypatch.setattr(factory, "build_mae", lambda *args, **options: calls.append(1) or real(*args, **options))
    return calls


@pytest.fixture(scope="module")
def bundled():
    """The bundled file's tensors."""
    return load_file(maezoo.fetch("mae_vit_tiny"))


@pytest.fixture
def data(tmp_path):
    """What a header of ours says."""
    convert(maezoo.fetch("mae_vit_tiny"), tmp_path / "whole.safetensors")
    with open_weights(tmp_path / "whole.safetensors") as file:
        return json.loads(file.header["maezoo"])


def refused(path, tmp_path, built):
    for read in (
        lambda: maezoo.create("mae_vit_tiny", checkpoint=path, device="cpu"),
        lambda: maezoo.create(f"local-dir:{path}", device="cpu"),
        lambda: convert(path, tmp_path / "out.safetensors"),
    ):
        with pytest.raises(LayoutError):
            read()
    assert not built
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "field", ["img_size", "patch_size", "embed_dim", "depth", "num_heads", "decoder_dim", "decoder_heads"]
)
def test_numbers_of_an_architecture_are_bounded(tmp_path, bundled, data, built, field):
    path = tmp_path / "odd.safetensors"
    for name in ("mae_vit_tiny", "my_own"):
        for value in [*NOT_WHOLE, 65_537]:
            changed = copy.deepcopy(data)
            changed["variant"] |= {"name": name, field: value}
            save_file(bundled, path, metadata={"maezoo": json.dumps(changed)})
            refused(path, tmp_path, built)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("size", [0, [0, 0], [96], [96.0, 96.0], [True, True], [97, 96], [2**20, 2**20], ["96", "96"], [16384] * 2]),
        ("crop_pct", [0, -1, 2, NAN, "1", True, 1e-12]),
        ("mean", [[], [0.5, 0.5], [NAN] * 3, [INFINITY] * 3, ["a"] * 3, [True] * 3, [0.5] * 10_000, 10**400, None]),
        ("std", [[0.0] * 3, [-1.0] * 3, [NAN] * 3, [1e-30] * 3, [0.2] * 2, [10**400] * 3, 0.2, None]),
        ("resize", ["stretch", None, []]),
        ("interpolation", ["magic", 3, []]),
    ],
)
def test_preparations_that_no_image_can_have_are_refused(tmp_path, bundled, data, built, field, values):
    path = tmp_path / "odd.safetensors"
    for value in values:
        changed = copy.deepcopy(data)
        changed["preprocess"][field] = value
        save_file(bundled, path, metadata={"maezoo": json.dumps(changed)})
        refused(path, tmp_path, built)


def test_mean_and_deviation_belong_to_the_channels(tmp_path, bundled, data, built):
    for count in (2, 4):
        data["preprocess"] |= {"mean": [0.5] * count, "std": [0.5] * count}
        save_file(bundled, tmp_path / "odd.safetensors", metadata={"maezoo": json.dumps(data)})
        refused(tmp_path / "odd.safetensors", tmp_path, built)


@pytest.mark.parametrize(
    "text",
    ["[]", "3", "null", "[1", "[" * 100_000, '{"variant":' * 50_000, "{}", '{"variant": [], "parts": 3, "target": {}}'],
    ids=lambda text: text[:12],
)
def test_a_header_that_is_no_description_is_an_error_of_ours(tmp_path, bundled, built, text):
    save_file(bundled, tmp_path / "odd.safetensors", metadata={"maezoo": text})
    refused(tmp_path / "odd.safetensors", tmp_path, built)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("parts", ["encoder", [["encoder"]], [], [3], {"encoder": 1}, ["decoder"]]),
        ("target", [3, [], {}, "dvae", None]),
        ("license", [3, [], {"a": 1}, "x" * 100_000]),
        ("origin", [3, [], {"a": 1}, "x" * 100_000]),
        ("facts", [3, [], None, {"heads": 12}, {"in_chans": 0}, {"class_tokens": 1.0}, {"class_tokens": 10**6}]),
        ("facts", [{"norm_epsilon": x} for x in (0, -1e-6, NAN, INFINITY, True, "1e-6", None, 1.0)]),
        ("facts", [{"mlp_ratio": x} for x in (0, -4.0, NAN, INFINITY, True, "4", None, 10**6)]),
        ("facts", [{name: x} for name in ("positions", "resampling", "pooling") for x in ("max", None, [], 3)]),
        ("preprocess", [3, [], None, "x"]),
    ],
)
def test_words_and_lists_are_what_they_should_be(tmp_path, bundled, data, built, field, values):
    for value in values:
        save_file(bundled, tmp_path / "odd.safetensors", metadata={"maezoo": json.dumps({**data, field: value})})
        refused(tmp_path / "odd.safetensors", tmp_path, built)


def changed_folder(folder, name, field, value):
    original = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**original, field: value}))
    return original


@pytest.mark.parametrize(
    "field",
    ["image_size", "patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "decoder_hidden_size"],
)
def test_transformers_configs_are_bounded(tmp_path, built, field):
    folder = tmp_path / "theirs"
    convert(maezoo.fetch("mae_vit_tiny"), folder, to="transformers")
    for value in [*NOT_WHOLE, [96, 48], [96, 96, 96]]:
        original = changed_folder(folder, "config.json", field, value)
        with pytest.raises(LayoutError, match=r"config\.json"):
            maezoo.create(f"local-dir:{folder}", device="cpu")
        (folder / "config.json").write_text(json.dumps(original))
    assert not built


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1e-6", [], NAN, INFINITY])
def test_an_epsilon_is_a_small_positive_number(tmp_path, value):
    folder = tmp_path / "theirs"
    convert(maezoo.fetch("mae_vit_tiny"), folder, to="transformers")
    changed_folder(folder, "config.json", "layer_norm_eps", value)
    for read in (
        lambda: maezoo.create(f"local-dir:{folder}", device="cpu"),
        lambda: convert(folder, tmp_path / "out.safetensors"),
    ):
        with pytest.raises(LayoutError, match="layer_norm_eps"):
            read()


def test_an_epsilon_travels_with_the_weights(tmp_path):
    convert(maezoo.fetch("mae_vit_tiny"), tmp_path / "theirs", to="transformers")
    changed_folder(tmp_path / "theirs", "config.json", "layer_norm_eps", 1e-12)
    convert(tmp_path / "theirs", tmp_path / "ours")
    maezoo.create(f"local-dir:{tmp_path / 'ours'}", device="cpu").save_pretrained(tmp_path / "saved")
    convert(tmp_path / "saved", tmp_path / "back", to="transformers")
    for folder in ("ours", "saved", "back"):
        model = maezoo.create(f"local-dir:{tmp_path / folder}", device="cpu")
        assert {model.encoder.norm.eps, model.encoder.blocks[0].norm1.eps, model.decoder.norm.eps} == {1e-12}


@pytest.mark.parametrize("text", ["[" * 200_000, "{", "[]", '{"maezoo": 3}', '{"architecture": []}', " " * 20_000_000])
def test_a_config_that_is_none_is_an_error_of_ours(tmp_path, text):
    convert(maezoo.fetch("mae_vit_tiny"), tmp_path, to="timm", encoder_only=True)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(LayoutError, match=r"config\.json"):
        maezoo.create(f"local-dir:{tmp_path}", device="cpu")


def test_tensors_of_no_size_are_refused(tmp_path, tiny_state):
    for key, shape in (
        ("encoder.patch_embed.proj.weight", (192, 0, 8, 8)),
        ("encoder.pos_embed", (1, 1, 192)),
        ("encoder.pos_embed", (1, 0, 192)),
        ("encoder.cls_token", (1, 0, 192)),
        ("encoder.pos_embed", (192,)),
        ("decoder.pred.weight", (0, 192)),
        ("decoder.pred.bias", ()),
    ):
        state = {name: tensor.clone() for name, tensor in tiny_state.items()}
        state[key] = state[key].new_zeros(shape)
        save_file(state, tmp_path / "odd.safetensors")
        with pytest.raises(LayoutError):
            maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=tmp_path / "odd.safetensors", device="cpu")
        with pytest.raises(LayoutError):
            convert(tmp_path / "odd.safetensors", tmp_path / "out.safetensors", to="fair")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_are_floating_point_numbers(tmp_path, tiny_state, dtype):
    path = tmp_path / "odd.safetensors"
    try:
        save_file({**tiny_state, "encoder.norm.bias": tiny_state["encoder.norm.bias"].to(dtype)}, path)
    except KeyError:
        pytest.skip("this safetensors writes no such numbers")
    for read in (
        lambda: maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=path, device="cpu"),
        lambda: convert(path, tmp_path / "out.safetensors", to="fair"),
        lambda: timm.create_model("mae_vit_tiny", checkpoint_path=path),
    ):
        if dtype == torch.float8_e4m3fn:
            read()
            continue
        with pytest.raises(LayoutError, match="floating-point"):
            read()


def test_numbers_of_half_a_byte_are_refused(tmp_path, tiny_state):
    state = {**tiny_state, "encoder.norm.bias": torch.zeros(96, dtype=torch.uint8)}
    save_file(state, tmp_path / "bytes.safetensors")
    data = (tmp_path / "bytes.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["encoder.norm.bias"] |= {"dtype": "F4", "shape": [192]}
    text = json.dumps(header).encode()
    path = tmp_path / "half.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    try:
        open_weights(path).close()
    except IntegrityError:
        pytest.skip("this safetensors does not know them")
    with pytest.raises(LayoutError, match="less than a byte"):
        maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=path, device="cpu")
    with pytest.raises(LayoutError, match="less than a byte"):
        convert(path, tmp_path / "out.safetensors", to="fair")


@pytest.mark.parametrize(("hidden", "width"), [(29, 100), (113, 100), (3072, 768)])
def test_a_ratio_gives_the_width_that_it_was_made_of(hidden, width):
    assert int(width * mlp_ratio_of(hidden, width)) == hidden


@pytest.mark.parametrize("factor", [1.0, 1 / 127.5, "1/255"])
def test_images_in_another_range_are_refused(factor):
    config = {"size": 224, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": factor}
    with pytest.raises(LayoutError):
        read_preprocessor(config, Path("preprocessor_config.json"))
    assert read_preprocessor({**config, "rescale_factor": 0.00392156862745098}, Path("p.json")).size == (224, 224)
