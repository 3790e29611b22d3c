"""The model on CUDA gives what it gives on the CPU."""

from pathlib import Path

import pytest
import torch

import maezoo
from maezoo.figures import measure_sweep, plot_attention

pytestmark = pytest.mark.gpu


@pytest.fixture
def on_cpu() -> maezoo.MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


@pytest.fixture
def on_cuda() -> maezoo.MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="auto")


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-3) -> None:
    assert found.device.type == "cuda"
    scale = float(expected.abs().max())  # PyTorch's convolutions use TF32 on CUDA by default
    torch.testing.assert_close(found.cpu(), expected, rtol=tolerance, atol=tolerance * max(scale, 1))


def test_cuda_is_chosen_where_there_is_one(on_cuda: maezoo.MAE) -> None:
    assert next(on_cuda.parameters()).is_cuda


def test_features_and_maps_are_those_of_the_cpu(on_cpu: maezoo.MAE, on_cuda: maezoo.MAE, photos: list[Path]) -> None:
    for pool in ("cls", "mean", "cls+mean"):
        close(on_cuda.features(photos, pool=pool, batch_size=3), on_cpu.features(photos, pool=pool))
    for ours, theirs in zip(
        on_cuda.feature_maps(photos, layers=(1, -1)), on_cpu.feature_maps(photos, layers=(1, -1)), strict=True
    ):
        close(ours, theirs)


def test_two_calls_give_the_same_bits(on_cuda: maezoo.MAE, photos: list[Path]) -> None:
    assert torch.equal(on_cuda.features(photos), on_cuda.features(photos))


@pytest.mark.parametrize("size", [(96, 96), (64, 128), (224, 160)])
def test_any_size_is_encoded_and_reconstructed(on_cpu: maezoo.MAE, on_cuda: maezoo.MAE, size: tuple[int, int]) -> None:
    images = torch.randn(3, 3, *size)
    mask = maezoo.random_mask(3, (size[0] // 8, size[1] // 8), 0.75, seed=3)
    close(on_cuda.encode(images.cuda(), mask=mask.cuda()), on_cpu.encode(images, mask=mask))
    ours, theirs = on_cuda.reconstruct(images, mask=mask), on_cpu.reconstruct(images, mask=mask)
    close(ours.predicted, theirs.predicted)
    close(ours.loss, theirs.loss)


def test_one_seed_hides_the_same_patches(on_cpu: maezoo.MAE, on_cuda: maezoo.MAE, photos: list[Path]) -> None:
    for strategy in ("random", "block", "grid", "cells"):
        ours = on_cuda.reconstruct(photos, seed=5, strategy=strategy)
        assert torch.equal(ours.mask.cpu(), on_cpu.reconstruct(photos, seed=5, strategy=strategy).mask)


def test_rows_that_hide_different_numbers(on_cpu: maezoo.MAE, on_cuda: maezoo.MAE) -> None:
    images, mask = torch.randn(4, 3, 96, 96), torch.rand(4, 144) < torch.tensor([[0.0], [0.5], [0.9], [1.1]])
    close(on_cuda.reconstruct(images, mask=mask.cuda()).predicted, on_cpu.reconstruct(images, mask=mask).predicted)


def test_bfloat16_is_chosen_and_alike(on_cpu: maezoo.MAE, photos: list[Path]) -> None:
    low = maezoo.create("mae_vit_tiny", pretrained=True, dtype="auto")
    assert next(low.parameters()).dtype == torch.bfloat16
    cosine = torch.cosine_similarity(low.features(photos).float().cpu(), on_cpu.features(photos))
    assert cosine.min() > 0.999


def test_a_model_saved_from_cuda_is_the_model(on_cuda: maezoo.MAE, photos: list[Path], tmp_path: Path) -> None:
    on_cuda.save_pretrained(tmp_path)
    again = maezoo.create(f"local-dir:{tmp_path}", device="cuda")
    assert torch.equal(again.features(photos), on_cuda.features(photos))


def test_the_callers_default_device_changes_nothing(on_cpu: maezoo.MAE, photos: list[Path]) -> None:
    torch.set_default_device("cuda")
    try:
        model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        assert torch.equal(model.features(photos), on_cpu.features(photos))
        assert torch.equal(model.reconstruct(photos).mask, on_cpu.reconstruct(photos).mask)
    finally:
        torch.set_default_device("cpu")


def test_figures_and_whole_images(on_cuda: maezoo.MAE, photos: list[Path]) -> None:
    assert measure_sweep(on_cuda, photos[:2], ratios=(0.5, 0.75), seeds=2)
    assert plot_attention(on_cuda, photos[0])
    assert bool((maezoo.reconstruct_all(on_cuda, photos[0]).error > 0).any())
