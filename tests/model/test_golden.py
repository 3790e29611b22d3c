"""The same model as the original: golden vectors, through all three layouts."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from maezoo import mask_from_noise
from maezoo.checkpoints.load import load_file_into
from maezoo.masks.visible import visible_indices
from maezoo.model import MaskedAutoencoder, Variant, build_mae, patchify, unpatchify

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@dataclass(frozen=True)
class Case:
    folder: Path
    name: str
    config: dict[str, int]
    vectors: dict[str, Tensor]

    def model(self, layout: str, *, target: str = "pixel", decoder: bool = True) -> MaskedAutoencoder:
        c = self.config
        variant = Variant(
            self.name, c["img_size"], c["patch_size"], c["embed_dim"], c["depth"], c["num_heads"],
            c["decoder_embed_dim"], c["decoder_depth"], c["decoder_num_heads"],
        )  # fmt: skip
        model = build_mae(variant, target=target, decoder=decoder, init=False).eval()
        load_file_into(model, self.folder / f"{self.name}.{layout}.safetensors")
        return model


@pytest.fixture(params=["patch8", "patch14"])
def case(request: pytest.FixtureRequest, golden: Path) -> Case:
    with safe_open(golden / f"{request.param}.vectors.safetensors", "pt") as file:
        vectors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    return Case(golden, request.param, config, vectors)


@pytest.fixture(params=["fair", "transformers"])
def full_layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["fair", "timm", "transformers"])
def any_layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_mask_follows_the_noise(case: Case) -> None:
    mask = mask_from_noise(case.vectors["noise"], 0.75)
    assert torch.equal(mask, case.vectors["mask"].bool())


def test_unmasked_tokens(case: Case, any_layout: str) -> None:
    model = case.model(any_layout, decoder=False)
    with torch.no_grad():
        tokens = model.encode_tokens(case.vectors["images"])
    torch.testing.assert_close(tokens, case.vectors["tokens"], **CLOSE)


def test_first_block(case: Case, any_layout: str) -> None:
    model = case.model(any_layout, decoder=False)
    with torch.no_grad():
        (tokens,) = model.block_tokens(case.vectors["images"], [0], norm=False)
    torch.testing.assert_close(tokens, case.vectors["block0"], **CLOSE)


def test_visible_latents(case: Case, any_layout: str) -> None:
    model = case.model(any_layout, decoder=False)
    visible = visible_indices(case.vectors["mask"].bool())
    with torch.no_grad():
        tokens = model.encode_tokens(case.vectors["images"], visible)
    by_noise = case.vectors["noise"].argsort(dim=1)[:, : visible.shape[1]]
    raster = by_noise.argsort(dim=1)[:, :, None].expand(-1, -1, tokens.shape[2])
    expected = torch.cat([case.vectors["latent"][:, :1], case.vectors["latent"][:, 1:].gather(1, raster)], dim=1)
    torch.testing.assert_close(tokens, expected, **CLOSE)


def test_prediction_and_image(case: Case, full_layout: str) -> None:
    model = case.model(full_layout)
    with torch.no_grad():
        prediction = model.predict(case.vectors["images"], case.vectors["mask"].bool())
    torch.testing.assert_close(prediction, case.vectors["pred"], **CLOSE)
    image = unpatchify(prediction, model.patch_size, model.grid_size)
    torch.testing.assert_close(image, case.vectors["pred_image"], **CLOSE)


def test_target(case: Case) -> None:
    assert torch.equal(patchify(case.vectors["images"], case.config["patch_size"]), case.vectors["target"])


@pytest.mark.parametrize(("target", "key"), [("pixel", "loss"), ("normpix", "loss_norm_pix")])
def test_losses(case: Case, full_layout: str, target: str, key: str) -> None:
    model = case.model(full_layout, target=target)
    with torch.no_grad():
        output = model(case.vectors["images"], case.vectors["mask"].bool())
    torch.testing.assert_close(output.loss, case.vectors[key].reshape(()), **CLOSE)


def test_a_wrong_weight_is_noticed(case: Case, full_layout: str) -> None:
    """The checks above can fail: a small change of one weight moves the prediction out of their reach."""
    model = case.model(full_layout)
    with torch.no_grad():
        model.encoder.blocks[0].attn.proj.weight[0, 0] += 0.1
        prediction = model.predict(case.vectors["images"], case.vectors["mask"].bool())
    assert not torch.allclose(prediction, case.vectors["pred"], **CLOSE)


@pytest.fixture(params=["maezoo", "fair", "transformers"])
def out_layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_layout_leads_to_the_same_weights(case: Case, full_layout: str, out_layout: str, tmp_path: Path) -> None:
    from maezoo.checkpoints.save import save_model

    model = case.model(full_layout)
    save_model(model, tmp_path / "again.safetensors", layout=out_layout)  # type: ignore[arg-type]
    again = case.model(full_layout)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    load_file_into(again, tmp_path / "again.safetensors")
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
