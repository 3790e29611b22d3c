"""From any layout to any other and back, bit for bit; code in a pickle is not run; nothing is assumed."""

import argparse
import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file

import maezoo
from maezoo.checkpoints.convert import convert
from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest import description
from maezoo.manifest.description import Description
from maezoo.model import VARIANTS, build_mae
from maezoo.model.variants import match_variant, numbers_of
from tests.weight_files import header_of, in_layout, metadata_of, same_tensors

TINY = VARIANTS["mae_vit_tiny"]
PREPROCESS = Preprocessing(size=(96, 96), crop_pct=96 / 108)
LIKE = Description(TINY, "normpix", PREPROCESS, "mit")


@pytest.fixture
def pth(tmp_path, tiny_state):
    """Write a file as FAIR's trainer does."""

    def write(*, decoder=True, name="mae.pth", extra=None, **others):
        state = in_layout(tiny_state, "fair", decoder=decoder) | (extra or {})
        torch.save({"model": state, **others}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("layout", ["fair", "transformers", "maezoo"])
@pytest.mark.parametrize("through", ["fair", "transformers", "maezoo"])
def test_there_and_back_is_the_same_file(tmp_path, tiny_file, layout, through):
    first = tiny_file(layout)
    convert(first, tmp_path / "there.safetensors", to=through, like=LIKE)
    convert(tmp_path / "there.safetensors", tmp_path / "back.safetensors", to=layout, like=LIKE)
    assert same_tensors(first, tmp_path / "back.safetensors")
    if layout != "maezoo":
        assert first.read_bytes() == (tmp_path / "back.safetensors").read_bytes()


def test_an_encoder_goes_to_timm_and_back(tmp_path, tiny_file):
    first = tiny_file("timm", decoder=False)
    convert(first, tmp_path / "ours.safetensors", like=LIKE)
    convert(tmp_path / "ours.safetensors", tmp_path / "back.safetensors", to="timm")
    assert first.read_bytes() == (tmp_path / "back.safetensors").read_bytes()
    full = tiny_file("maezoo")
    with pytest.raises(LayoutError, match="timm layout has no name for decoder"):
        convert(full, tmp_path / "no.safetensors", to="timm")
    done = convert(full, tmp_path / "encoder.safetensors", to="timm", encoder_only=True)
    assert all(key.startswith("decoder.") for key in done.dropped)
    assert done.dropped
    assert not (tmp_path / "no.safetensors").exists()


def test_a_fair_file_becomes_one_of_ours(tmp_path, pth, tiny_state):
    options = argparse.Namespace(mask_ratio=0.75)
    done = convert(pth(optimizer={"step": 1}, epoch=3, args=options), tmp_path / "out.safetensors", like=LIKE)
    assert (done.from_layout, done.to_layout, done.tensors) == ("fair", "maezoo", len(tiny_state))
    model = maezoo.create("mae_vit_tiny", checkpoint=done.output, device="cpu")
    assert (model.target, model.preprocess, model.license) == ("normpix", PREPROCESS, "mit")
    assert all(torch.equal(tensor, tiny_state[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}])
def test_bare_and_wrapped_state_dicts_are_found(tmp_path, tiny_state, wrap):
    torch.save(wrap(in_layout(tiny_state, "fair")), tmp_path / "mae.bin", _use_new_zipfile_serialization=False)
    assert convert(tmp_path / "mae.bin", tmp_path / "out.safetensors", like=LIKE).from_layout == "fair"


def test_a_fine_tuned_file_keeps_its_head(tmp_path, pth):
    path = pth(decoder=False)
    head = {"fc_norm.weight": (192,), "fc_norm.bias": (192,), "head.weight": (5, 192), "head.bias": (5,)}
    state = {k: v for k, v in torch.load(path, weights_only=True)["model"].items() if not k.startswith("norm.")}
    state |= {key: torch.randn(shape) for key, shape in head.items()}
    torch.save({"model": state}, path)
    done = convert(path, tmp_path / "ours.safetensors", like=LIKE)
    back = convert(done.output, tmp_path / "back.safetensors", to="timm").output
    assert load_file(back).keys() == state.keys()
    encoder = maezoo.create("mae_vit_tiny", checkpoint=done.output, device="cpu").encoder
    assert torch.equal(encoder.norm.bias, state["fc_norm.bias"])  # the only norm that the file has, of tokens here
    import timm

    for file in (done.output, back):
        model = timm.create_model(
            "mae_vit_tiny",
            pretrained=True,
            num_classes=5,
            global_pool="avg",
            fc_norm=True,
            pretrained_cfg_overlay={"file": str(file), "num_classes": 5},
        )
        assert torch.equal(model.head.weight, state["head.weight"])
        assert torch.equal(model.fc_norm.bias, state["fc_norm.bias"])


class Malice:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("protocol", [None, 0, 2, 4])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    if protocol is None:
        torch.save({"model": Malice()}, "bad.pth")
    else:
        (tmp_path / "bad.pth").write_bytes(pickle.dumps({"model": Malice()}, protocol=protocol))
    with pytest.raises(IntegrityError):
        convert("bad.pth", "out.safetensors", like=LIKE)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_damaged_and_foreign_pickles_are_told(tmp_path, pth):
    whole = pth()
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:10_000])
    with pytest.raises(IntegrityError, match="damaged"):
        convert(tmp_path / "cut.pth", tmp_path / "out.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(LayoutError, match="no state dict"):
        convert(tmp_path / "list.pth", tmp_path / "out.safetensors")
    for missing in (tmp_path / "none.pth", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(WeightsNotFoundError):
            convert(missing, tmp_path / "out.safetensors")


def test_what_the_file_does_not_say_is_demanded(tmp_path, pth):
    with pytest.raises(LayoutError, match=r"\(target\) nor how its images") as caught:
        convert(pth(name="mae_visualize_vit_tiny.pth"), tmp_path / "out.safetensors")
    assert "--target pixel." in str(caught.value)
    convert(pth(), tmp_path / "fair.safetensors", to="fair")  # a layout without metadata needs none


def test_contradictions_are_errors(tmp_path, tiny_file):
    convert(tiny_file("fair"), tmp_path / "ours.safetensors", like=LIKE)
    with pytest.raises(LayoutError, match="target is 'normpix'; you say 'pixel'"):
        convert(tmp_path / "ours.safetensors", tmp_path / "x.safetensors", like=Description(target="pixel"))


def test_known_files_are_recognised_by_their_md5(tmp_path, pth, monkeypatch):
    path = pth(decoder=False)
    monkeypatch.setitem(
        description._KNOWN, description.md5_of(path)[:6], description._KnownFile("known.pth", "mae_vit_tiny")
    )
    done = convert(path, tmp_path / "out.safetensors")
    assert (done.metadata.target, done.metadata.license) == ("normpix", "cc-by-nc-4.0")
    assert done.metadata.preprocess.crop_pct == 0.875
    assert "known.pth" in done.metadata.origin


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s.pop("blocks.1.norm1.bias"), LayoutError, "lacks encoder.blocks.1.norm1.bias"),
        (lambda s: s.update({"blocks.1.gamma": torch.ones(3)}), LayoutError, "no place for encoder.blocks.1.gamma"),
        (lambda s: s.update({"norm.bias": torch.ones(3)}), LayoutError, r"norm\.bias has shape"),
        (lambda s: s.update({"norm.bias": torch.full((192,), float("nan"))}), IntegrityError, "NaN"),
        (lambda s: s.update({"patch_embed.proj.weight": torch.ones(77, 3, 8, 8)}), LayoutError, "none of mae_vit"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path, tiny_file, change, error, words):
    path = tiny_file("fair", change=change)
    with pytest.raises(error, match=words):
        convert(path, tmp_path / "out.safetensors", like=Description(None, "pixel", PREPROCESS))
    assert not (tmp_path / "out.safetensors").exists()


def test_transformers_reads_a_folder_of_ours(tmp_path, tiny_file):
    from transformers import ViTMAEForPreTraining

    small = tiny_file("fair", change=lambda state: state.update({key: tensor / 10 for key, tensor in state.items()}))
    convert(small, tmp_path / "folder", to="transformers", like=LIKE)
    theirs, info = ViTMAEForPreTraining.from_pretrained(tmp_path / "folder", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.norm_pix_loss is True
    ours = maezoo.create(f"local-dir:{tmp_path / 'folder'}", device="cpu")
    assert (ours.target, ours.preprocess) == ("normpix", PREPROCESS)
    images, noise = torch.randn(1, 3, 96, 96), torch.rand(1, 144)
    with torch.no_grad():
        output = theirs.eval()(images, noise=noise)
        difference = (ours.predict(images, output.mask.bool()) - output.logits).abs().max()
        assert difference <= 1e-4 * output.logits.abs().max()


def test_a_folder_that_transformers_saved_converts_back_to_the_published_spelling(tmp_path, tiny_file):
    from transformers import ViTMAEForPreTraining

    first = tiny_file("transformers")
    convert(first, tmp_path / "one", to="transformers", like=LIKE)
    ViTMAEForPreTraining.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "theirs")
    (tmp_path / "one/preprocessor_config.json").rename(tmp_path / "theirs/preprocessor_config.json")
    convert(tmp_path / "theirs", tmp_path / "back.safetensors", to="transformers")
    assert same_tensors(first, tmp_path / "back.safetensors")


@pytest.mark.parametrize("size", [(64, 128), (64, 144)])  # 8x18 patches are as many as 12x12
def test_what_create_could_not_read_is_not_written(tmp_path, size):
    wide = maezoo.create("mae_vit_tiny", pretrained=True, img_size=size, device="cpu")
    wide.save_pretrained(tmp_path / "wide")
    for to, output in (("fair", "f.safetensors"), ("transformers", "t"), ("transformers", "t.safetensors")):
        with pytest.raises(LayoutError, match="square"):
            convert(tmp_path / "wide", tmp_path / output, to=to)
        assert not (tmp_path / output).exists()
    with pytest.raises(LayoutError, match="square"):
        convert(tmp_path / "wide", tmp_path / "m.safetensors", to="timm", encoder_only=True)
    for to in ("maezoo", "timm"):
        convert(tmp_path / "wide", tmp_path / to, to=to, encoder_only=to == "timm")
        again = maezoo.create(f"local-dir:{tmp_path / to}", device="cpu")
        assert (again.img_size, again.load_report.adapted) == (size, {})


@pytest.mark.parametrize("patches", [0, 1, 99, 121])
def test_positions_are_written_only_where_they_can_be_read(tmp_path, tiny_file, patches):
    def change(state):
        for key in ("pos_embed", "decoder_pos_embed"):
            state[key] = torch.zeros(1, 1 + patches, 192)

    path = tiny_file("fair", change=change)
    for to in ("maezoo", "fair"):
        output = tmp_path / f"{to}.out.safetensors"
        if patches in (1, 121):  # a square, which is resized
            convert(path, output, to=to, like=LIKE)
            assert maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=path, device="cpu").load_report.adapted
        else:
            with pytest.raises(LayoutError):
                convert(path, output, to=to, like=LIKE)
            assert not output.exists()
    with pytest.raises(LayoutError):  # transformers does not resize them
        convert(path, tmp_path / "folder", to="transformers", like=LIKE)


def test_half_precision_stays_half(tmp_path, tiny_file):
    path = tiny_file("fair", change=lambda s: s.update({key: tensor.half() for key, tensor in s.items()}))
    done = convert(path, tmp_path / "out.safetensors", like=LIKE)
    assert {tensor["dtype"] for key, tensor in header_of(done.output).items() if key != "__metadata__"} == {"F16"}
    assert json.loads(metadata_of(done.output)["maezoo"])["variant"]["name"] == "mae_vit_tiny"


def test_the_shapes_alone_tell_the_architecture():
    with torch.device("meta"):
        state = build_mae(VARIANTS["mae_vit_large"], init=False).state_dict()
    large = {key: tuple(tensor.shape) for key, tensor in state.items()}
    assert match_variant(numbers_of(large)) is VARIANTS["mae_vit_large"]
