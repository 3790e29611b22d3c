"""Layers that others have changed are used as they are; the forward can be exported and transformed."""

import io

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrize

import maezoo
from maezoo.errors import MaskError
from maezoo.masks.draw import random_mask
from maezoo.model import MaskedAutoencoder

IMAGES = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
MASK = random_mask(2, (12, 12), 0.75, seed=0)
SEEN = torch.tensor([[0, 5, 143], [1, 5, 9]])


@pytest.fixture
def model() -> maezoo.MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


class Adapter(nn.Module):
    """A low-rank adapter beside a layer, as LoRA has it."""

    def __init__(self, base: nn.Module, down: nn.Module, up: nn.Module) -> None:
        super().__init__()
        self.up, self.down, self.base = up, down, base

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def adapt(model: MaskedAutoencoder) -> None:
    down, up = nn.Conv2d(3, 4, 8, stride=8, bias=False), nn.Conv2d(4, 192, 1, bias=False)
    model.encoder.patch_embed.proj = Adapter(model.encoder.patch_embed.proj, down, up)


def wrap(model: MaskedAutoencoder) -> None:
    model.encoder.patch_embed = nn.Sequential(model.encoder.patch_embed, nn.LayerNorm(192))


def parametrise(model: MaskedAutoencoder) -> None:
    parametrize.register_parametrization(model.encoder.patch_embed.proj, "weight", Doubled())


def hook(model: MaskedAutoencoder) -> None:
    model.encoder.patch_embed.proj.register_forward_hook(lambda module, inputs, output: output * 1.5)


def hook_before(model: MaskedAutoencoder) -> None:
    model.encoder.patch_embed.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 1.5,))


def patch_forward(model: MaskedAutoencoder) -> None:
    projection = model.encoder.patch_embed.proj
    plain = projection.forward
    projection.forward = lambda x: plain(x) * 1.5


def norm(model: MaskedAutoencoder) -> None:
    model.encoder.patch_embed.norm = nn.LayerNorm(192)


def overlap(model: MaskedAutoencoder) -> None:
    model.encoder.patch_embed.proj = nn.Conv2d(3, 192, 10, stride=8, padding=1)


@pytest.mark.parametrize("change", [adapt, wrap, parametrise, hook, hook_before, patch_forward, norm, overlap])
def test_a_changed_patch_embedding_is_used_with_and_without_a_mask(change: object, model: maezoo.MAE) -> None:
    plain = model.features(IMAGES)
    change(model)  # type: ignore[operator]
    x = model.encoder.patch_embed(IMAGES)  # (B, N, D), as a call gives it
    assert not torch.equal(model.features(IMAGES), plain)
    embedded = model._embed(IMAGES, SEEN)[:, 1:] - model.pos_embed[0, 1:][SEEN]
    torch.testing.assert_close(embedded, torch.stack([x[0, SEEN[0]], x[1, SEEN[1]]]), rtol=1e-4, atol=1e-4)
    everything = model.encode_tokens(IMAGES, torch.arange(144).expand(2, -1))
    torch.testing.assert_close(everything, model.encode_tokens(IMAGES), rtol=1e-3, atol=1e-3)
    assert (model.in_chans, model.patch_size, model.grid_size) == (3, 8, (12, 12))
    assert model.reconstruct(IMAGES).pixels.shape == (2, 3, 96, 96)
    rebuilt = MaskedAutoencoder(model.encoder, model.decoder)
    assert torch.equal(rebuilt.encode_tokens(IMAGES, SEEN), model.encode_tokens(IMAGES, SEEN))


def test_an_adapter_is_trained_by_masked_images(model: maezoo.MAE) -> None:
    adapt(model)
    model(IMAGES, MASK).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.patch_embed.proj.parameters())


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch.export's own
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # PyTorch 2.9's own
def test_the_forward_is_exported_for_any_batch_and_mask(model: maezoo.MAE) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (IMAGES, MASK), dynamic_shapes={"images": {0: batch}, "mask": {0: batch}})
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    exported = torch.export.load(file).module()
    images, mask = torch.cat([IMAGES, IMAGES[:1] + 1]), random_mask(3, (12, 12), 0.4, seed=1)
    found, expected = exported(images, mask), model(images, mask)
    torch.testing.assert_close((found.loss, found.prediction), (expected.loss, expected.prediction))
    mask[0, :] = True
    with pytest.raises(RuntimeError, match="same number visible"):
        exported(images, mask)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # PyTorch has no batching rule for attention
def test_the_forward_is_mapped_and_differentiated_for_each_image(model: maezoo.MAE) -> None:
    one = vmap(lambda image, mask: model.predict(image[None], mask[None])[0])
    with torch.no_grad():
        torch.testing.assert_close(one(IMAGES, MASK), model.predict(IMAGES, MASK))
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def loss(weights: dict[str, Tensor], image: Tensor, mask: Tensor) -> Tensor:
        return functional_call(model, weights, (image[None], mask[None])).loss

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, IMAGES, MASK)
    model(IMAGES[1:], MASK[1:]).loss.backward()
    name = "encoder.patch_embed.proj.weight"
    torch.testing.assert_close(gradients[name][1], model.get_parameter(name).grad)
    with pytest.raises(MaskError, match="leaves 0 to 36"):
        one(IMAGES, torch.stack([MASK[0], torch.ones(144, dtype=torch.bool)]))
