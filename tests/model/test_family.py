"""The family's models on random weights, compared with the libraries that own their layouts."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel, ViTMAEConfig, ViTMAEForPreTraining

import maezoo
from maezoo import mask_from_noise
from maezoo.checkpoints.convert import convert
from maezoo.checkpoints.load import load_file_into
from maezoo.errors import LayoutError, MaezooError, OfflineError, SizeError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.masks.visible import visible_indices
from maezoo.model import VARIANTS, Facts, MaskedAutoencoder, Variant, build_mae, pool_tokens
from maezoo.model.build import empty_weights
from maezoo.model.facts import PIXIO, VIDEO

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
SMALL = Variant("small", 32, 8, 48, 2, 3, 32, 1, 2)


@pytest.fixture
def vectors(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "prithvi16.vectors.safetensors")


@pytest.fixture
def prithvi(golden: Path) -> Variant:
    with safe_open(golden / "prithvi16.vectors.safetensors", "pt") as file:
        c = json.loads(file.metadata()["config"])
    return Variant(
        "prithvi16", c["img_size"], c["patch_size"][1], c["embed_dim"], c["depth"], c["num_heads"],
        c["decoder_embed_dim"], c["decoder_depth"], c["decoder_num_heads"],
    )  # fmt: skip


def other_frames(tensors: dict[str, Tensor], layout: str, patches: int) -> dict[str, Tensor]:
    """Write Prithvi's weights as its older files have them, or with positions of three frames, which no one reads."""
    found = {}
    for key, tensor in tensors.items():
        if key.endswith("pos_embed"):
            tensor = torch.cat([tensor, torch.rand(1, 2 * patches, tensor.shape[2])], dim=1)
        plain = key.removeprefix("encoder.").removeprefix("decoder.") if layout == "fair" else key
        found[plain] = tensor
    coordinates = "encoder.temporal_embed_enc.scale" if layout == "prithvi" else "location_embed_dec.scale"
    return {**found, coordinates: torch.ones(1)}


@pytest.fixture(params=["as published", "prithvi", "fair"])
def prithvi_file(request: pytest.FixtureRequest, golden: Path, tmp_path: Path) -> Path:
    path = golden / "prithvi16.prithvi.safetensors"
    if request.param == "as published":
        return path
    save_file(other_frames(load_file(path), request.param, 16), tmp_path / "prithvi.safetensors")
    return tmp_path / "prithvi.safetensors"


def test_prithvi_at_one_frame(prithvi: Variant, prithvi_file: Path, vectors: dict[str, Tensor]) -> None:
    model = build_mae(prithvi, facts=VIDEO, in_chans=6, init=False).eval()
    report = load_file_into(model, prithvi_file)
    assert all("embed_" in key for key in report.dropped)
    images, noise = vectors["64x64.images"], vectors["64x64.noise"]
    mask = mask_from_noise(noise, 0.75)
    assert torch.equal(mask, vectors["64x64.mask"].bool())
    with torch.no_grad():
        torch.testing.assert_close(model.encode_tokens(images), vectors["64x64.tokens"], **CLOSE)
        (block,) = model.block_tokens(images, [0], norm=False)
        torch.testing.assert_close(block, vectors["64x64.block0"], **CLOSE)
        output = model(images, mask)
        torch.testing.assert_close(output.prediction, vectors["64x64.pred"], **CLOSE)
        torch.testing.assert_close(output.loss, vectors["64x64.loss"].reshape(()), **CLOSE)
        seen = noise.argsort(dim=1)[:, : int((~mask[0]).sum())]  # theirs are in this order, ours in that of the picture
        latent = vectors["64x64.latent"][:, 1:].gather(1, seen.argsort(dim=1)[:, :, None].expand(-1, -1, 96))
        found = model.encode_tokens(images, visible_indices(mask))
        torch.testing.assert_close(found[:, 1:], latent, **CLOSE)
        torch.testing.assert_close(found[:, :1], vectors["64x64.latent"][:, :1], **CLOSE)


@pytest.mark.parametrize("size", [(96, 32), (48, 80), (96, 96)], ids=str)
@pytest.mark.parametrize("made_for_it", [True, False])
def test_prithvi_at_other_sizes(prithvi: Variant, golden: Path, size: tuple[int, int], made_for_it: bool) -> None:
    """Positions are resized with aligned corners, whether the model is made for a size or only given such pictures."""
    expected = load_file(golden / "prithvi16.sizes.safetensors")
    noise, tokens, latent, pred, loss = (
        expected[f"{size[0]}x{size[1]}.{name}"] for name in ("noise", "tokens", "latent", "pred", "loss")
    )
    model = build_mae(prithvi, facts=VIDEO, in_chans=6, img_size=size if made_for_it else None, init=False).eval()
    load_file_into(model, golden / "prithvi16.prithvi.safetensors", grid=(4, 4))
    numbers = torch.arange(6 * size[0] * size[1]) % 1009
    images = (6 * (numbers / 1009)).sin().reshape(1, 6, *size)
    visible = int(0.25 * noise.shape[1])
    mask = torch.ones_like(noise, dtype=torch.bool).scatter(1, noise.argsort(dim=1)[:, :visible], False)
    raster = noise.argsort(dim=1)[0, :visible].argsort()  # theirs are in the order of the noise
    with torch.no_grad():
        torch.testing.assert_close(model.encode_tokens(images)[:, :, ::8], tokens, **CLOSE)
        found = model.encode_tokens(images, visible_indices(mask))[:, :, ::8]
        torch.testing.assert_close(found, torch.cat([latent[:, :1], latent[:, 1:][:, raster]], dim=1), **CLOSE)
        output = model(images, mask)
        torch.testing.assert_close(output.prediction[:, :, ::61], pred, **CLOSE)
        torch.testing.assert_close(output.loss.reshape(1), loss, **CLOSE)


def test_a_prithvi_file_becomes_a_model_and_goes_back(prithvi_file: Path, prithvi: Variant, tmp_path: Path) -> None:
    preprocess = Preprocessing((64, 64), mean=(1087.0,) * 6, std=(2248.0,) * 6)
    said = Description(prithvi, "pixel", preprocess)
    convert(prithvi_file, tmp_path / "ours.safetensors", like=said)
    model = maezoo.create(f"local-dir:{tmp_path / 'ours.safetensors'}", device="cpu")
    assert model.facts == Facts(6, norm_epsilon=1e-5, positions="sincos3d", resampling="aligned")
    convert(tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors", to="prithvi")
    again = build_mae(prithvi, facts=VIDEO, in_chans=6).eval()
    assert load_file_into(again, tmp_path / "theirs.safetensors").layout == "prithvi"
    images = torch.randn(1, 6, 64, 64)
    assert torch.equal(again.encode_tokens(images), model.encode(images))


def randomised(model: torch.nn.Module) -> None:
    """Make every tensor count."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.fixture
def pixio_of_transformers() -> ModuleType:
    return pytest.importorskip("transformers.models.pixio.modeling_pixio", reason="transformers 4 has no Pixio")


@pytest.fixture
def pixio(pixio_of_transformers: ModuleType, tmp_path: Path) -> tuple[PreTrainedModel, Path]:
    config = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    model = pixio_of_transformers.PixioModel(
        pixio_of_transformers.PixioConfig(**config, image_size=32, patch_size=8, n_cls_tokens=8)
    ).eval()
    randomised(model)
    model.save_pretrained(tmp_path / "pixio")
    preprocess = {"size": 32, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "pixio" / "preprocessor_config.json").write_text(json.dumps(preprocess))
    return model, tmp_path / "pixio"


@pytest.mark.parametrize("size", [(32, 32), (48, 16), (64, 64), (24, 80)])
def test_pixio_at_any_size(pixio: tuple[PreTrainedModel, Path], size: tuple[int, int]) -> None:
    theirs, folder = pixio
    model = maezoo.create(f"local-dir:{folder}", device="cpu")
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = theirs(images)
    assert model.num_prefix_tokens == 8
    torch.testing.assert_close(model.encode(images), expected.last_hidden_state, **CLOSE)
    torch.testing.assert_close(model.features(images), expected.pooler_output, **CLOSE)
    resized = maezoo.create(f"local-dir:{folder}", device="cpu", img_size=size)
    torch.testing.assert_close(resized.encode(images), expected.last_hidden_state, **CLOSE)
    assert model.feature_maps(images)[0].shape[2:] == (size[0] // 8, size[1] // 8)


def test_pixio_goes_to_every_layout_and_back(pixio: tuple[PreTrainedModel, Path], tmp_path: Path) -> None:
    theirs, folder = pixio
    images = torch.randn(1, 3, 32, 32)
    model = maezoo.create(f"local-dir:{folder}", device="cpu")
    saved = model.save_pretrained(tmp_path / "saved")
    encoder = timm.create_model(f"local-dir:{saved}", pretrained=True).eval()
    torch.testing.assert_close(encoder.forward_features(images), model.encode(images))
    convert(saved, tmp_path / "theirs", to="transformers")
    again = type(theirs).from_pretrained(tmp_path / "theirs").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(images).last_hidden_state, theirs(images).last_hidden_state)
    convert(saved, tmp_path / "fair.safetensors", to="fair")
    assert load_file(tmp_path / "fair.safetensors")["cls_token"].shape == (1, 8, 48)
    said = Description(Variant("own", 32, 8, 48, 2, 3, 0, 0, 0), None, model.preprocess, facts=model.facts)
    convert(tmp_path / "fair.safetensors", tmp_path / "back", like=said)
    for place in (saved, tmp_path / "theirs", tmp_path / "back"):
        read = maezoo.create(f"local-dir:{place}", device="cpu")
        assert read.facts == model.facts, place
        assert torch.equal(read.encode(images), model.encode(images)), place


def test_several_class_tokens_go_through_masks_and_decoder() -> None:
    model = build_mae(SMALL, facts=PIXIO).eval()
    images, mask = torch.randn(2, 3, 32, 32), mask_from_noise(torch.rand(2, 16), 0.75)
    visible = visible_indices(mask)
    with torch.no_grad():
        tokens = model.encode_tokens(images, visible)
        assert tokens.shape == (2, 8 + 4, 48)
        assert model.predict(images, mask).shape == (2, 16, 192)
        assert torch.equal(pool_tokens(tokens, "cls", 8), tokens[:, :8].mean(dim=1))
        moved = images.clone()
        moved[:, :, :8, :8] += 1  # a hidden patch changes nothing
        hidden = mask.clone()
        hidden[:, 0], hidden[:, 1] = True, False
        one, other = (model.predict(each, hidden[:1]) for each in (images, moved))
    assert torch.equal(one, other)
    model(images, mask).loss.backward()
    for part in (model.pos_embed, model.encoder.reg_token, model.decoder.pos_embed):
        assert part.grad is not None  # learned, and so trained
        assert part.grad.abs().sum() > 0


@pytest.mark.parametrize("columns", [16, 64])
def test_a_strip_of_text_as_pixel_has_it(tmp_path: Path, columns: int) -> None:
    size = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    decoder = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = ViTMAEConfig(
        **size, image_size=(8, 8 * columns), patch_size=8, **{f"decoder_{key}": value for key, value in decoder.items()}
    )
    theirs = ViTMAEForPreTraining(config).eval()
    randomised(theirs)
    theirs.save_pretrained(tmp_path)
    preprocess = {"size": {"height": 8, "width": 8 * columns}, "resample": 2, "image_mean": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**preprocess, "image_std": [0.5] * 3}))
    model = maezoo.create(f"local-dir:{tmp_path}", device="cpu")
    assert (model.grid_size, model.facts.norm_epsilon, model.facts.mlp_ratio) == ((1, columns), 1e-12, 2.0)
    images, noise = torch.randn(2, 3, 8, 8 * columns), torch.rand(2, columns)
    mask = mask_from_noise(noise, 0.75)
    with torch.no_grad():
        encoded = theirs.vit(images, noise=noise)
        expected = theirs.decoder(encoded.last_hidden_state, encoded.ids_restore).logits
        assert torch.equal(mask, encoded.mask.bool())
        torch.testing.assert_close(model.predict(images, mask), expected, **CLOSE)
    convert(tmp_path, tmp_path / "again", to="transformers")
    again = ViTMAEForPreTraining.from_pretrained(tmp_path / "again").eval()
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_a_shorter_strip_has_the_leading_positions() -> None:
    model = build_mae(SMALL, facts=Facts(resampling="leading"), img_size=(8, 128)).eval()
    short = build_mae(SMALL, facts=Facts(resampling="leading"), img_size=(8, 64)).eval()
    state = {key: x[:, :9] if key.endswith("pos_embed") else x for key, x in model.state_dict().items()}
    short.load_state_dict(state)
    images, mask = torch.randn(1, 3, 8, 64), mask_from_noise(torch.rand(1, 8), 0.5)
    with torch.no_grad():
        assert torch.equal(model.predict(images, mask), short.predict(images, mask))
    for size in ((16, 64), (8, 136)):
        with pytest.raises(SizeError, match="strips of 1 x 16 patches or fewer"):
            model.encode_tokens(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("ratio", [0.25, 0.75])
@pytest.mark.parametrize(("channels", "size"), [(2, (32, 32)), (6, (16, 64)), (13, (64, 16))])
def test_encoders_and_decoders_of_other_channels_equal_transformers(
    tmp_path: Path, channels: int, size: tuple[int, int], ratio: float
) -> None:
    encoder = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
    decoder = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128}
    config = ViTMAEConfig(
        **encoder, image_size=size, patch_size=8, num_channels=channels, mask_ratio=ratio,
        **{f"decoder_{key}": value for key, value in decoder.items()},
    )  # fmt: skip
    theirs = ViTMAEForPreTraining(config).eval()
    randomised(theirs)
    theirs.save_pretrained(tmp_path)
    said = {"size": {"height": size[0], "width": size[1]}, "resample": 3}
    stats = {"image_mean": [0.5] * channels, "image_std": [0.5] * channels}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**said, **stats}))
    model = maezoo.create(f"local-dir:{tmp_path}", device="cpu")
    images, noise = torch.randn(2, channels, *size), torch.rand(2, 16)
    mask = mask_from_noise(noise, ratio)
    with torch.no_grad():
        encoded = theirs.vit(images, noise=noise)
        expected = theirs.decoder(encoded.last_hidden_state, encoded.ids_restore).logits
        assert torch.equal(mask, encoded.mask.bool())
        assert mask.sum(dim=1).tolist() == [int(16 * ratio)] * 2
        torch.testing.assert_close(model.predict(images, mask), expected, **CLOSE)


@pytest.mark.parametrize(("channels", "size"), [(1, (128, 16)), (2, (32, 32)), (3, (32, 32)), (13, (24, 40))])
def test_encoders_of_other_channels_and_grids_equal_timm_to_the_bit(
    tmp_path: Path, channels: int, size: tuple[int, int]
) -> None:
    options = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 0}
    theirs = timm.create_model("vit_base_patch16_224", img_size=size, in_chans=channels, **options).eval()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    preprocess = Preprocessing(size, mean=(0.5,) * channels, std=(0.5,) * channels)
    variant = Variant("small", 32, 8, 48, 2, 3, 0, 0, 0)
    said = Description(variant, None, preprocess, facts=Facts(channels, pooling="mean"))
    convert(tmp_path / "model.safetensors", tmp_path / "ours", like=said)
    model = maezoo.create(f"local-dir:{tmp_path / 'ours'}", device="cpu")
    images = torch.randn(2, channels, *size)
    with torch.no_grad():
        tokens = theirs.forward_features(images)
    assert torch.equal(model.encode(images), tokens)
    assert torch.equal(model.features(images), tokens[:, 1:].mean(dim=1))
    other = (size[0] + 16, size[1] + 8)  # held out: another size, another shape
    theirs.set_input_size(img_size=other)
    images = torch.randn(2, channels, *other)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(images), theirs.forward_features(images), **CLOSE)


def saved(tmp_path: Path, facts: Facts, size: tuple[int, int]) -> maezoo.MAE:
    plain: MaskedAutoencoder = build_mae(SMALL, facts=facts, img_size=size, target="pixel").eval()
    randomised(plain)
    stats = (0.5,) * facts.in_chans
    model = maezoo.MAE(
        plain.encoder, plain.decoder, preprocess=Preprocessing(size, mean=stats, std=stats), name="small", facts=facts
    ).eval()
    model.save_pretrained(tmp_path / "saved")
    return model


FACTS = [
    Facts(in_chans=13),
    Facts(in_chans=2, pooling="mean"),
    Facts(in_chans=6, norm_epsilon=1e-5, positions="sincos3d", resampling="aligned"),
    Facts(mlp_ratio=2.0, norm_epsilon=1e-12, resampling="leading"),
    Facts(class_tokens=3, positions="learned", resampling="bicubic", mlp_ratio=3.0),
]


@pytest.mark.parametrize("facts", FACTS, ids=str)
def test_a_saved_model_comes_back_with_all_its_facts(tmp_path: Path, facts: Facts) -> None:
    model = saved(tmp_path, facts, (8, 64) if facts.resampling == "leading" else (32, 48))
    convert(tmp_path / "saved", tmp_path / "one.safetensors")
    images = torch.randn(2, facts.in_chans, *model.img_size)
    for place in ("saved", "one.safetensors"):
        again = maezoo.create(f"local-dir:{tmp_path / place}", device="cpu")
        assert again.facts == facts
        assert not again.load_report.adapted
        assert torch.equal(again.features(images), model.features(images))
        assert torch.equal(again.reconstruct(images).predicted, model.reconstruct(images).predicted)


@pytest.mark.parametrize("facts", FACTS[:3], ids=str)
def test_a_folder_for_transformers_keeps_all_facts(tmp_path: Path, facts: Facts) -> None:
    model = saved(tmp_path, facts, (32, 32))
    convert(tmp_path / "saved", tmp_path / "theirs", to="transformers")
    ViTMAEForPreTraining.from_pretrained(tmp_path / "theirs").save_pretrained(tmp_path / "again")
    shutil.copy(tmp_path / "theirs" / "preprocessor_config.json", tmp_path / "again")
    for place in ("theirs", "again"):
        again = maezoo.create(f"local-dir:{tmp_path / place}", device="cpu")
        assert again.facts == facts
    images = torch.randn(2, facts.in_chans, *model.img_size)
    assert torch.equal(again.features(images), model.features(images))


def test_only_positions_of_videos_go_to_prithvi(tmp_path: Path) -> None:
    saved(tmp_path, Facts(in_chans=13), (32, 32))
    with pytest.raises(LayoutError, match=r"for models with 3-D positions .*'sincos3d'"):
        convert(tmp_path / "saved", tmp_path / "theirs.safetensors", to="prithvi")


def test_a_file_of_other_class_tokens_is_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path, Facts(class_tokens=3), (32, 32))
    model = build_mae(SMALL, facts=Facts(class_tokens=4))
    with pytest.raises(LayoutError, match=r"reg_token has shape \(1, 2, 48\).*needs \(1, 3, 48\)"):
        load_file_into(model, tmp_path / "saved" / "model.safetensors")
    with pytest.raises(LayoutError, match="reg_token"):
        load_file_into(build_mae(SMALL), tmp_path / "saved" / "model.safetensors")


def test_a_decoder_of_several_class_tokens_has_no_place_in_transformers(
    pixio_of_transformers: ModuleType, tmp_path: Path
) -> None:
    saved(tmp_path, Facts(class_tokens=3), (32, 32))
    with pytest.raises(LayoutError, match="no name for decoder"):
        convert(tmp_path / "saved", tmp_path / "theirs", to="transformers")
    convert(tmp_path / "saved", tmp_path / "encoder", to="transformers", encoder_only=True)
    assert pixio_of_transformers.PixioModel.from_pretrained(tmp_path / "encoder").embeddings.n_cls_tokens == 3


def test_filters_of_several_frames_are_refused(golden: Path, prithvi: Variant, tmp_path: Path) -> None:
    tensors = load_file(golden / "prithvi16.prithvi.safetensors")
    key = "encoder.patch_embed.proj.weight"
    save_file({**tensors, key: tensors[key].repeat(1, 1, 2, 1, 1)}, tmp_path / "tubelets.safetensors")
    model = build_mae(prithvi, facts=VIDEO, in_chans=6)
    with pytest.raises(LayoutError, match=r"\(96, 6, 2, 16, 16\)"):
        load_file_into(model, tmp_path / "tubelets.safetensors")


class Allocations(TorchDispatchMode):
    """Notes the largest tensor with memory that is made, in bytes."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and not each.is_meta:
                self.most = max(self.most, each.untyped_storage().nbytes())
        return made


def test_create_of_the_largest_model_allocates_nothing_before_its_file_is_there(tmp_path: Path) -> None:
    """22 GB. Neither without a file, nor of one that claims to hold them and does not."""
    with empty_weights():
        model = build_mae(VARIANTS["pixio_vit_5b"], init=False)
    header, end = {}, 0
    for key, tensor in model.state_dict().items():
        start, end = end, end + 4 * tensor.numel()
        header[f"encoder.{key}".replace("encoder.encoder.", "encoder.")] = {
            "dtype": "F32", "shape": [*tensor.shape], "data_offsets": [start, end],
        }  # fmt: skip
    said = json.dumps(header).encode()
    (tmp_path / "short.safetensors").write_bytes(len(said).to_bytes(8, "little") + said + bytes(1_000))
    with Allocations() as seen:
        with pytest.raises(OfflineError):
            maezoo.create("pixio_vit_5b.web2b", pretrained=True, offline=True, cache_dir=tmp_path, device="cpu")
        with pytest.raises(MaezooError, match=r"short\.safetensors"):
            maezoo.create("pixio_vit_5b.web2b", checkpoint=tmp_path / "short.safetensors", device="cpu")
    assert seen.most < 2**20


@pytest.mark.parametrize("name", ["pixio_vit_5b", "mae_vit_huge"])
def test_the_largest_models_are_planned_without_memory(name: str) -> None:
    """Nothing is allocated before a file is there: 22 GB for the first."""
    psutil = pytest.importorskip("psutil")
    variant, process = VARIANTS[name], psutil.Process()
    before = process.memory_info().rss
    with empty_weights():
        model = build_mae(variant, init=False)
    tensors = [*model.parameters(), *model.buffers()]
    assert all(tensor.is_meta for tensor in tensors)
    assert sum(tensor.numel() for tensor in tensors) > 6e8
    assert process.memory_info().rss - before < 100 * 2**20
