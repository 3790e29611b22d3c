"""A task with its preprocessing as one module: pixels in, what the task computes out, in float32 whatever is within."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from maezoo.engines import eager
from maezoo.exporting.settings import Settings
from maezoo.images.batches import denormalise, normalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import (
    MaskedAutoencoder,
    PatchedImages,
    denormalise_patches,
    patch_statistics,
    pool_tokens,
    unpatchify,
)
from maezoo.model.patches import grid_of
from maezoo.model.positions import resize_positions
from maezoo.vocabulary import Pool

__all__ = ["export_module", "float32_copy"]


class _Task(nn.Module):
    """What all tasks share: the input."""

    def __init__(self, model: MaskedAutoencoder, settings: Settings, preprocess: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.preprocess = preprocess

    def batch_of(self, images: Tensor) -> PatchedImages:
        """Put images on their patch grid, normalised, in the number format of the weights."""
        x = _checked(images, self.model.patch_size) if self.settings.img_size is None else images
        if self.settings.input == "pixels":
            x = normalise(x, self.preprocess)
        return self.model.on_grid(x.to(self.model.cls_token.dtype))


class _Whole(_Task):
    """Tasks that see all patches: (B, C, H, W) -> one or more tensors."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        batch, settings = self.batch_of(images), self.settings
        if settings.task == "maps":
            found = self.model.block_tokens(batch, settings.layers)
            (h, w), D = batch.grid_size, self.model.embed_dim
            return tuple(
                x[:, self.model.num_prefix_tokens :].transpose(1, 2).reshape(-1, D, h, w).float() for x in found
            )
        tokens = self.model.encode_tokens(batch).float()
        return (self._pooled(tokens) if settings.task == "features" else tokens,)

    def _pooled(self, tokens: Tensor) -> Tensor:
        return pool_tokens(tokens, cast(Pool, self.settings.pool), self.model.num_prefix_tokens)


class _Masked(_Task):
    """Tasks that see the visible patches: (B, C, H, W), (B, K) int64 -> one or more tensors."""

    def forward(self, images: Tensor, visible: Tensor) -> tuple[Tensor, ...]:
        batch = self.batch_of(images)
        if self.settings.task == "encode":
            return (self.model.encode_tokens(batch, visible).float(),)
        return self._pictures(batch, visible, self.model.predict_from(batch, visible).float())

    def _pictures(self, batch: PatchedImages, visible: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prediction, and the same with the visible patches pasted, as (B, C, H, W) in [0, 1]."""
        truth = batch.patches.float()  # (B, N, P*P*C)
        if self.model.target == "normpix":
            prediction = denormalise_patches(prediction, patch_statistics(truth))
        seen = torch.zeros_like(truth[:, :, :1]).scatter(1, visible[:, :, None], 1.0)
        pasted = torch.where(seen > 0, truth, prediction)
        P, grid = self.model.patch_size, batch.grid_size
        predicted, pixels = (denormalise(unpatchify(x, P, grid), self.preprocess) for x in (prediction, pasted))
        return predicted, pixels


class _NormInFloat32(nn.Module):
    """A LayerNorm in float32 among layers of 16 bits, whose sums of squares overflow float16."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x.float())
        return normed.to(x.dtype)


def _checked(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into whole patches and put them together again: a graph then fails on any other size.

    Without it, runtimes that know no rules for sizes would leave the rest of an image out without a word.
    """
    B, C, H, W = images.shape
    h, w = H // patch_size, W // patch_size
    cut = images.reshape(B, C, h, patch_size, w, patch_size)
    return cut.reshape(B, C, h * patch_size, w * patch_size)


def export_module(
    model: MaskedAutoencoder, settings: Settings, preprocess: Preprocessing, *, precision: str | None = None
) -> nn.Module:
    """Return a task as a module in eval mode.

    Args:
        model: a copy of its own, in float32 on the CPU; see `float32_copy`.
        settings: the task; a fixed size has its positions resized once, here.
        preprocess: what a graph of pixels begins with.
        precision: of the layers; float32 when `None`.
    """
    copied = cast(MaskedAutoencoder, eager.shared_copy(model))
    if settings.img_size is not None:
        _fix_size(copied, grid_of(settings.img_size, model.patch_size))
    if precision in ("float16", "bfloat16"):
        copied = copy.deepcopy(copied).to(getattr(torch, precision))
        _norms_to_float32(copied)
    masked = settings.task in ("encode", "reconstruct")
    return (_Masked if masked else _Whole)(copied, settings, preprocess).eval()


def float32_copy(model: MaskedAutoencoder, settings: Settings) -> MaskedAutoencoder:
    """Return what a task needs of a model, in float32 on the CPU, for changes; tensors are shared where they can be."""
    decoder = model.decoder if settings.task == "reconstruct" else None
    plain = MaskedAutoencoder(model.encoder, decoder, target=model.target, facts=model.facts)
    if model.cls_token.device.type == "cpu" and all(each.dtype == torch.float32 for each in plain.parameters()):
        return cast(MaskedAutoencoder, eager.shared_copy(plain))
    return copy.deepcopy(plain).to("cpu", torch.float32)


def _norms_to_float32(module: nn.Module) -> None:
    """Wrap every LayerNorm."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.LayerNorm):
            setattr(module, name, _NormInFloat32(child))
        else:
            _norms_to_float32(child)


def _fix_size(model: MaskedAutoencoder, grid: tuple[int, int]) -> None:
    """Make a grid the native one of a model: its graph then resizes nothing."""
    old, P = model.grid_size, model.patch_size
    prefix, how = model.num_prefix_tokens, model.facts.resampling
    embedding = next(part for part in model.encoder.patch_embed.modules() if hasattr(part, "grid_size"))
    parts: Sequence[nn.Module] = [model.encoder, *([] if model.decoder is None else [model.decoder])]
    for part in parts:
        resized = resize_positions(part.pos_embed.detach(), old, grid, prefix=prefix, resampling=how)  # type: ignore[operator]
        part.pos_embed = nn.Parameter(resized, requires_grad=False)
    embedding.grid_size = grid
    embedding.img_size = (grid[0] * P, grid[1] * P)
    if model.decoder is not None:
        model.decoder.grid_size = grid
