"""A model is found in whatever it was saved with: prefixes, dictionaries, averages, several files."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import maezoo
from maezoo.checkpoints.convert import convert
from maezoo.checkpoints.naming import find_state_dict
from maezoo.cli import app
from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model import VARIANTS
from tests.weight_files import in_layout

LIKE = Description(VARIANTS["mae_vit_tiny"], "pixel", Preprocessing(size=(96, 96)), "mit")


def prefixed(prefix, tensors):
    return {f"{prefix}{key}": tensor for key, tensor in tensors.items()}


def converted(data, folder, **options):
    torch.save(data, folder / "in.pth")
    done = convert(folder / "in.pth", folder / "out.safetensors", like=LIKE, **options)
    return done, load_file(done.output)


PREFIXES = ["_orig_mod.", "module.", "model.", "backbone.", "encoder.", "student.", "module._orig_mod.", "net.vit."]


@pytest.mark.parametrize("layout", ["fair", "timm", "transformers", "maezoo"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_taken_off(tiny_state, layout, prefix):
    keys = in_layout(tiny_state, layout, decoder=layout != "timm").keys()
    found = find_state_dict([prefix + key for key in keys])
    inside = layout == "timm" and prefix == "encoder."  # then the names are ours
    assert found.names.keys() == ({prefix + key for key in keys} if inside else set(keys))
    assert (found.others, found.outside) == ((), ())


@pytest.mark.parametrize("name", ["net", "network", "model_state", "state_dict", "model", "model_ema", "anything"])
def test_dictionaries_around_a_state_dict_are_opened(tmp_path, tiny_state, name):
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    data = {name: prefixed("module.", in_layout(tiny_state, "fair")), "optimizer": optimizer, 3: "three", None: 1}
    done, tensors = converted(data, tmp_path)
    assert done.taken == f"{name}/module"
    assert done.dropped == ()
    assert all(torch.equal(tensor, tiny_state[key]) for key, tensor in tensors.items())


def test_wrappers_inside_of_a_model_are_taken_out_of_its_names(tmp_path, tiny_state):
    data = {key.replace("blocks.0.", "blocks.0._orig_mod."): tensor for key, tensor in tiny_state.items()}
    _, tensors = converted({"model": prefixed("module.", data), "n_averaged": torch.tensor(2)}, tmp_path)
    assert tensors.keys() == tiny_state.keys()


def test_parameters_and_tensors_that_share_memory_are_written(tmp_path, tiny_state):
    state = in_layout(tiny_state, "fair")
    flat = torch.cat([tensor.flatten() for tensor in state.values()]).requires_grad_()
    pieces = flat.split([tensor.numel() for tensor in state.values()])
    state = {key: piece.view(state[key].shape) for key, piece in zip(state, pieces, strict=True)}
    state["decoder_norm.weight"] = state["norm.weight"]  # tied
    state["cls_token"] = torch.nn.Parameter(state["cls_token"].detach())
    with torch.no_grad():
        data = {key: tensor.detach() if key != "cls_token" else tensor for key, tensor in state.items()}
    _, tensors = converted(data, tmp_path)
    assert torch.equal(tensors["decoder.norm.weight"], tiny_state["encoder.norm.weight"])
    assert torch.equal(tensors["encoder.cls_token"], tiny_state["encoder.cls_token"])


def test_a_model_whose_parameters_are_tied_is_saved(tmp_path):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    model.decoder.norm.weight = model.encoder.norm.weight
    model.save_pretrained(tmp_path)
    again = maezoo.create(f"local-dir:{tmp_path}", device="cpu")
    assert torch.equal(again.decoder.norm.weight, model.encoder.norm.weight)


@pytest.mark.parametrize(
    ("model", "average"), [("model", "model_ema"), ("state_dict", "state_dict_ema"), ("student", "teacher")]
)
def test_the_model_is_taken_before_its_average_and_the_average_by_name(tmp_path, tiny_state, model, average):
    state = in_layout(tiny_state, "timm", decoder=False)
    data = {model: state, average: {key: tensor + 1 for key, tensor in state.items()}}
    done, tensors = converted(data, tmp_path)
    assert (done.taken, done.others) == (model, (average,))
    assert torch.equal(tensors["encoder.cls_token"], tiny_state["encoder.cls_token"])
    done, tensors = converted(data, tmp_path, take=average)
    assert (done.taken, done.others) == (average, (model,))
    assert torch.equal(tensors["encoder.cls_token"], tiny_state["encoder.cls_token"] + 1)
    with pytest.raises(LayoutError, match=f"'{model}' or '{average}'"):
        converted(data, tmp_path, take="elsewhere")
    paths = [str(tmp_path / "in.pth"), str(tmp_path / "cli.safetensors")]
    run = CliRunner().invoke(app, ["convert", *paths, "--like", "mae_vit_tiny", "--take", average])
    assert run.exit_code == 0
    assert f"taken: {average}" in run.output
    assert f"not taken: {model}" in run.output


def test_of_two_models_none_is_guessed(tmp_path, tiny_state):
    state = in_layout(tiny_state, "fair")
    with pytest.raises(LayoutError, match=r"several models: 'left' or 'right'.*--take"):
        converted({"left": state, "right": state}, tmp_path)
    assert converted({"left": state, "right": state}, tmp_path, take="right")[0].taken == "right"


def test_of_two_files_in_a_folder_none_is_guessed(tmp_path, tiny_state):
    for name in ("left.safetensors", "right.safetensors"):
        save_file(in_layout(tiny_state, "fair"), tmp_path / name)
    with pytest.raises(WeightsNotFoundError, match=r"left\.safetensors, right\.safetensors"):
        convert(tmp_path, tmp_path / "out" / "one.safetensors", like=LIKE)


def test_one_dictionary_under_many_names_does_not_take_forever(tmp_path):
    inner = {"a": 1}
    for _ in range(9):
        inner = {str(number): inner for number in range(40)}  # a few kilobytes, and 40 to the power of 8 entries
    with pytest.raises(LayoutError, match="more than 1,000,000 entries"):
        converted(inner, tmp_path)


@pytest.mark.parametrize("kind", ["sparse", "meta", "repeated"])
def test_what_is_no_array_of_numbers_is_refused(tmp_path, tiny_state, kind):
    odd = {
        "sparse": torch.zeros(1, 1, 192).to_sparse(),
        "meta": torch.zeros(1, 1, 192, device="meta"),
        "repeated": torch.zeros(1).expand(1, 1, 192),
    }
    with pytest.raises(LayoutError, match="cls_token is sparse, has no values, or repeats"):
        converted({**in_layout(tiny_state, "fair"), "cls_token": odd[kind]}, tmp_path)


def test_a_key_that_is_no_string_is_named_as_left_out(tmp_path, tiny_state):
    done, _ = converted({**in_layout(tiny_state, "fair"), 5: torch.ones(1)}, tmp_path)
    assert done.dropped == ("[5]",)


def test_a_prefixed_safetensors_file_fills_a_model(tmp_path, tiny_state):
    ours = prefixed("_orig_mod.", tiny_state) | prefixed("ema_model.", tiny_state)
    save_file(
        {key: tensor.clone() for key, tensor in ours.items()} | {"step": torch.ones(1)}, tmp_path / "m.safetensors"
    )
    model = maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=tmp_path / "m.safetensors", device="cpu")
    assert torch.equal(model.cls_token, tiny_state["encoder.cls_token"])
    report = model.load_report
    assert (report.taken, report.others, report.dropped) == ("_orig_mod", ("ema_model",), ("step",))
    assert "'_orig_mod' (not of 'ema_model')" in str(report)


@pytest.fixture
def shards(tmp_path, tiny_state):
    """A folder of two shards and their index, as transformers saves large models."""
    state = in_layout(tiny_state, "transformers")
    names = {key: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, key in enumerate(state)}
    for name in set(names.values()):
        save_file({key: tensor for key, tensor in state.items() if names[key] == name}, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))
    return index


def test_shards_with_an_index_are_one_file(shards, tiny_state, tmp_path):
    for source in (shards, shards.parent):
        done = convert(source, tmp_path / "out" / "whole.safetensors", like=LIKE)
        assert done.tensors == len(tiny_state)
    model = maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=shards.parent, device="cpu")
    assert all(torch.equal(tensor, tiny_state[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda index: index["weight_map"].update(more="model-00001-of-00002.safetensors"), IntegrityError),
        (lambda index: index["weight_map"].update(more="absent.safetensors"), WeightsNotFoundError),
        (lambda index: index["weight_map"].update(more="../secret.safetensors"), LayoutError),
        (lambda index: index["weight_map"].update(more="/etc/passwd"), LayoutError),
        (lambda index: index["weight_map"].update(more=".."), LayoutError),
        (lambda index: index["weight_map"].update(more=3), LayoutError),
        (lambda index: index["weight_map"].clear(), LayoutError),
        (lambda index: index.update(weight_map=[]), LayoutError),
        (lambda index: index.clear(), LayoutError),
    ],
)
def test_an_index_names_files_next_to_it_and_what_is_in_them(shards, change, error):
    index = json.loads(shards.read_text())
    change(index)
    shards.write_text(json.dumps(index))
    with pytest.raises(error, match="index"):
        maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=shards.parent, device="cpu")
    with pytest.raises(error, match="index"):
        convert(shards, shards.parent / "out.safetensors", like=LIKE)


def test_a_tensor_that_the_index_does_not_name_is_dropped_by_name(shards):
    index = json.loads(shards.read_text())
    del index["weight_map"]["decoder.mask_token"]
    shards.write_text(json.dumps(index))
    model = maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=shards.parent, device="cpu", decoder=False)
    assert "decoder.mask_token" in model.load_report.dropped
