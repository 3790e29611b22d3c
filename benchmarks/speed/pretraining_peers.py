"""The loops that pretraining is compared with: their reading, and their step."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from maezoo.hardware import parse_dtype
from maezoo.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from maezoo.listing import image_files
from maezoo.masks.draw import random_mask
from maezoo.model import Variant, build_mae

__all__ = ["peer_batches", "peer_step"]

MASK_RATIO = 0.75


class _Pictures(Dataset[Tensor]):
    """A folder, read as both peers read it."""

    def __init__(self, folder: Path, size: int) -> None:
        self.paths = list(image_files(folder))
        transforms: Any = importlib.import_module("torchvision.transforms")
        bicubic = transforms.InterpolationMode.BICUBIC
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=(0.2, 1.0), interpolation=bicubic),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            views: Tensor = self.transform(image.convert("RGB"))
        return views


def peer_batches(
    folder: Path, size: int, batch: int, steps: int, workers: int, device: torch.device
) -> Iterator[Tensor]:
    """Yield batches (B, 3, size, size), normalised, as the peers' data loader gives them.

    Args:
        folder: of images.
        size: of their crops.
        batch: images in a step.
        steps: how many batches.
        workers: processes that read.
        device: where the model is.
    """
    pictures = _Pictures(folder, size)
    sampler = RandomSampler(pictures, replacement=True, num_samples=batch * steps)
    loader = DataLoader(
        pictures,
        batch,
        sampler=sampler,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        pin_memory=device.type == "cuda",
    )
    for images in loader:
        moved: Tensor = images.to(device, non_blocking=True)
        yield moved


def peer_step(name: str, variant: Variant, precision: str, device: torch.device) -> Callable[[Tensor], int]:
    """Return a call that takes a peer's step on a batch, and gives the number of its images.

    Args:
        name: `"transformers"` or `"original"`.
        variant: shape of the model.
        precision: of the autocast.
        device: where the model is.
    """
    original = name == "original"
    model, loss_of = _original(variant) if original else _transformers(variant)
    model.to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.05, fused=None if original else True
    )
    dtype = parse_dtype(None if precision == "float32" else precision, device).dtype

    def step(images: Tensor) -> int:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = loss_of(images)
        torch.autograd.backward(loss)
        if not original:
            nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if original:
            loss.item()
        elif device.type == "cuda":
            torch.cuda.synchronize(device)
        return len(images)

    return step


def _transformers(variant: Variant) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return its model with random weights, and its loss."""
    library: Any = importlib.import_module("transformers")
    config = library.ViTMAEConfig(
        hidden_size=variant.embed_dim,
        num_hidden_layers=variant.depth,
        num_attention_heads=variant.num_heads,
        intermediate_size=4 * variant.embed_dim,
        image_size=variant.img_size,
        patch_size=variant.patch_size,
        decoder_hidden_size=variant.decoder_dim,
        decoder_num_hidden_layers=variant.decoder_depth,
        decoder_num_attention_heads=variant.decoder_heads,
        decoder_intermediate_size=4 * variant.decoder_dim,
        mask_ratio=MASK_RATIO,
    )
    model: nn.Module = library.ViTMAEForPreTraining(config)

    def loss(images: Tensor) -> Tensor:
        computed: Tensor = model(images).loss
        return computed

    return model, loss


def _original(variant: Variant) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return a model whose attention is written out, and its loss."""
    model = build_mae(variant)
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]

    def loss(images: Tensor) -> Tensor:
        mask = random_mask(len(images), model.grid_size, MASK_RATIO)
        computed: Tensor = model(images, mask).loss
        return computed

    return model, loss
