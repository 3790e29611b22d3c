"""MAE: image-likes in, tensors or a reconstruction out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import maezoo
from maezoo import MAE, Reconstruction
from maezoo.errors import DecoderMissingError, ImageError, MaskError, SizeError, UnknownModelError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, build_mae, patch_statistics, patchify, unpatchify


@pytest.fixture(scope="module")
def model() -> MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


def test_encode_twice_gives_the_same_bits(model: MAE, photos: list[Path]) -> None:
    first, second = model.encode(photos), model.encode(photos)
    assert first.shape == (len(photos), 145, 192)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert not first.is_inference()  # so that users can train on it


def test_every_image_like_gives_the_same_features(model: MAE, photos: list[Path]) -> None:
    path = photos[0]
    picture = Image.open(path).convert("RGB")
    array = np.asarray(picture)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)[None]
    expected = model.features(path)
    for image in (str(path), picture, array, tensor, [path], (path,), array[None]):
        torch.testing.assert_close(model.features(image), expected, rtol=1e-5, atol=1e-5)


def test_pools(model: MAE, photos: list[Path]) -> None:
    tokens = model.encode(photos)
    torch.testing.assert_close(model.features(photos), tokens[:, 0])
    torch.testing.assert_close(model.features(photos, pool="mean"), tokens[:, 1:].mean(1))
    both = model.features(photos, pool="cls+mean")
    torch.testing.assert_close(both, torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
    with pytest.raises(ValueError, match=r"'cls', 'mean', 'cls\+mean'; got 'max'"):
        model.features(photos, pool="max")  # type: ignore[arg-type]


def test_batch_size_does_not_matter(model: MAE, photos: list[Path]) -> None:
    many = [photos[i % len(photos)] for i in range(7)]
    torch.testing.assert_close(
        model.features(many, batch_size=2), model.features(many, batch_size=7), rtol=1e-4, atol=1e-4
    )
    mask = maezoo.random_mask(7, (12, 12), seed=1)
    one, other = model.reconstruct(many, mask=mask, batch_size=3), model.reconstruct(many, mask=mask)
    torch.testing.assert_close(one.pixels, other.pixels, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        model.encode(many, mask=mask, batch_size=3), model.encode(many, mask=mask), rtol=1e-4, atol=1e-4
    )


def test_no_images_are_no_features(model: MAE) -> None:
    assert model.features([]).shape == (0, 192)
    assert model.encode([]).shape == (0, 145, 192)
    assert len(model.reconstruct([])) == 0


def test_masked_encoding_follows_raster_order(model: MAE, photos: list[Path]) -> None:
    mask = torch.ones(1, 144, dtype=torch.bool)
    mask[0, [7, 100, 3]] = False
    tokens = model.encode(photos[0], mask=mask)
    assert tokens.shape == (1, 4, 192)
    assert model.encode(photos[0], mask=torch.ones(144, dtype=torch.bool)).shape == (1, 1, 192)
    uneven = torch.zeros(2, 144, dtype=torch.bool)
    uneven[0, 0] = True
    with pytest.raises(MaskError, match="143 to 144"):
        model.encode(photos[:2], mask=uneven)


def test_feature_maps(model: MAE, photos: list[Path]) -> None:
    last, first = model.feature_maps(photos[:2], layers=(-1, 0))
    assert last.shape == first.shape == (2, 192, 12, 12)
    tokens = model.encode(photos[:2])[:, 1:]
    torch.testing.assert_close(last.flatten(2).transpose(1, 2), tokens)
    raw = model.feature_maps(photos[:2], norm=False)[0]
    assert not torch.allclose(raw, last)
    with pytest.raises(IndexError, match="0 to 5"):
        model.feature_maps(photos[0], layers=(6,))


def test_reconstruction(model: MAE, photos: list[Path]) -> None:
    result = model.reconstruct(photos, seed=3)
    B = len(photos)
    assert isinstance(result, Reconstruction)
    for picture in (result.original, result.masked, result.predicted, result.pixels):
        assert picture.shape == (B, 3, 96, 96)
        assert 0 <= picture.min() <= picture.max() <= 1
    assert result.mask.sum(1).tolist() == [108] * B
    hidden = unpatchify(result.mask[:, :, None].expand(-1, -1, 192), 8, (12, 12))
    assert torch.equal(result.pixels[~hidden], result.original[~hidden])
    assert torch.equal(result.pixels[hidden], result.predicted[hidden])
    assert (result.masked[hidden] == 0.5).all()
    torch.testing.assert_close(result.loss, (result.error * result.mask).sum(1) / result.mask.sum(1))
    assert not result.uses_input_statistics
    again = model.reconstruct(photos, seed=3)
    assert torch.equal(again.mask, result.mask)
    assert torch.equal(again.pixels, result.pixels)
    assert not torch.equal(model.reconstruct(photos, seed=4).mask, result.mask)


def test_loss_is_the_training_loss(model: MAE) -> None:
    images = torch.randn(3, 3, 96, 96)
    result = model.reconstruct(images, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(model(images, result.mask).loss, result.loss.mean())


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_extreme_ratios(model: MAE, photos: list[Path], ratio: float) -> None:
    result = model.reconstruct(photos[0], mask_ratio=ratio)
    assert torch.isfinite(result.pixels).all()
    if ratio == 0:
        assert torch.equal(result.pixels, result.original)
        assert result.loss.item() == 0
    else:
        assert torch.equal(result.pixels, result.predicted)


def test_custom_masks_with_unequal_rows(model: MAE, photos: list[Path]) -> None:
    mask = torch.zeros(3, 144, dtype=torch.bool)
    mask[0, :10] = mask[1, :144] = True
    result = model.reconstruct(photos[:3], mask=mask)
    assert torch.equal(result.mask, mask)
    alone = model.reconstruct(photos[0], mask=mask[0])
    torch.testing.assert_close(result.pixels[:1], alone.pixels, rtol=1e-4, atol=1e-4)


def test_the_bundled_model_fills_better_than_the_mean(model: MAE, photos: list[Path]) -> None:
    result = model.reconstruct(photos, strategy="random", seed=0)
    hidden = unpatchify(result.mask[:, :, None].expand(-1, -1, 192), 8, (12, 12))
    visible_mean = result.original.masked_fill(hidden, 0).sum((2, 3)) / (~hidden).sum((2, 3))
    mean_error = (result.original - visible_mean[:, :, None, None]).square()[hidden].mean()
    assert (result.original - result.pixels).square()[hidden].mean() < 0.6 * mean_error


def test_normalised_pixels_come_back_with_the_inputs_statistics() -> None:
    plain = build_mae(VARIANTS["mae_vit_tiny"], target="normpix")
    model = MAE(plain.encoder, plain.decoder, preprocess=Preprocessing((96, 96)), target="normpix").eval()
    images = torch.randn(2, 3, 96, 96)
    result = model.reconstruct(images)
    assert result.uses_input_statistics
    with torch.no_grad():
        raw = model.predict(images, result.mask)
    statistics = patch_statistics(patchify(images, 8))
    expected = unpatchify(raw * statistics.std + statistics.mean, 8, (12, 12))
    mean, std = torch.tensor(model.preprocess.mean).view(3, 1, 1), torch.tensor(model.preprocess.std).view(3, 1, 1)
    torch.testing.assert_close(result.predicted, (expected * std + mean).clamp(0, 1), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(model(images, result.mask).loss, result.loss.mean())


@pytest.mark.parametrize("size", [(448, 224), (64, 160)])
def test_other_sizes(model: MAE, photos: list[Path], size: tuple[int, int]) -> None:
    grid = size[0] // 8, size[1] // 8
    by_tensor = model.reconstruct(torch.randn(1, 3, *size))
    assert by_tensor.pixels.shape == (1, 3, *size)
    created = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", img_size=size)
    assert created.grid_size == grid
    result = created.reconstruct(photos[0])
    assert result.pixels.shape == (1, 3, *size)
    assert created.encode(photos[0]).shape == (1, 1 + grid[0] * grid[1], 192)
    same = torch.randn(1, 3, *size)
    torch.testing.assert_close(created.features(same), model.features(same), rtol=1e-4, atol=1e-4)
    assert "pos_embed" in " ".join(created.load_report.adapted)  # type: ignore[union-attr]


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(photos: list[Path], channels: int) -> None:
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", in_chans=channels)
    if channels == 1:
        images: object = photos
    else:
        images = [np.asarray(Image.open(p).convert("RGB").convert("RGBA").resize((96, 96))) for p in photos]
    result = model.reconstruct(images)  # type: ignore[arg-type]
    assert result.pixels.shape == (len(photos), channels, 96, 96)
    assert model.features(images).shape == (len(photos), 192)  # type: ignore[arg-type]
    assert result.to_pil().mode == "RGB"


def test_grey_reconstruction_makes_sense(photos: list[Path]) -> None:
    """The adapted model is no worse on grey pictures than filling with the mean."""
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", in_chans=1)
    result = model.reconstruct(photos, seed=0)
    hidden = unpatchify(result.mask[:, :, None].expand(-1, -1, 64), 8, (12, 12))
    mean = result.original.masked_fill(hidden, 0).sum((2, 3)) / (~hidden).sum((2, 3))
    filled = (result.original - mean[:, :, None, None]).square()[hidden].mean()
    assert (result.original - result.pixels).square()[hidden].mean() < 0.8 * filled


def test_bfloat16_stays_close(model: MAE, photos: list[Path]) -> None:
    half = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    cosine = torch.nn.functional.cosine_similarity(half.features(photos).float(), model.features(photos))
    assert cosine.min() > 0.99
    assert half.reconstruct(photos[0]).pixels.dtype == torch.float32


def test_without_a_decoder(photos: list[Path], model: MAE) -> None:
    encoder = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)
    assert torch.equal(encoder.features(photos), model.features(photos))
    assert encoder.load_report is not None
    assert all(key.startswith("decoder.") for key in encoder.load_report.dropped)
    assert encoder.load_report.dropped
    with pytest.raises(DecoderMissingError, match=r"mae_vit_tiny\.photos_pixel"):
        encoder.reconstruct(photos[0])


def test_wrong_input(model: MAE, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        model.features(tmp_path / "none.jpg")
    with pytest.raises(SizeError, match="96x104"):
        model.features(torch.zeros(1, 3, 97, 103))
    with pytest.raises(MaskError, match="between 0 and 1"):
        model.reconstruct(torch.zeros(1, 3, 96, 96), mask_ratio=1.5)
    with pytest.raises(MaskError, match=r"\(1, 144\)"):
        model.reconstruct(torch.zeros(1, 3, 96, 96), mask=torch.zeros(1, 9, dtype=torch.bool))
    with pytest.raises(MaskError, match="stripes"):
        model.reconstruct(torch.zeros(1, 3, 96, 96), strategy="stripes")  # type: ignore[arg-type]


def test_strip_and_file(model: MAE, photos: list[Path], tmp_path: Path) -> None:
    result = model.reconstruct(photos[:2])
    strip = result.to_pil()
    assert strip.size == (3 * 96 + 2 * 4, 2 * 96 + 4)
    left = np.asarray(strip)[:96, :96]
    assert np.abs(left.astype(int) - (result.original[0].permute(1, 2, 0).numpy() * 255).round()).max() <= 1
    path = result.save(tmp_path / "deep" / "strip.png")
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(strip))
    assert [p.name for p in path.parent.iterdir()] == ["strip.png"]
    assert result._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="xyz"):
        result.save(tmp_path / "strip.xyz")
    assert not list(tmp_path.glob("*.xyz"))


def test_progress_bar_goes_to_standard_error(
    model: MAE, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model.features(photos, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "images" in captured.err


def test_create_says_what_it_cannot_do() -> None:
    with pytest.raises(UnknownModelError, match="Did you mean 'mae_vit_base'"):
        maezoo.create("mae_vit_bas")
    with pytest.raises(UnknownModelError, match=r"mae_vit_tiny\.photos_pixel"):
        maezoo.create("mae_vit_tiny.photo_pixel", pretrained=True)
    with pytest.raises(SizeError, match="96x104"):
        maezoo.create("mae_vit_tiny", img_size=(95, 101))
    with pytest.raises(ValueError, match="in_chans"):
        maezoo.create("mae_vit_tiny", in_chans=0)
    with pytest.raises(ValueError, match="int8"):
        maezoo.create("mae_vit_tiny", dtype="int8")
    with pytest.raises(ValueError, match="pass one of"):
        maezoo.create("mae_vit_tiny", True, checkpoint="x.safetensors")


def test_random_weights_only_when_asked_for() -> None:
    model = maezoo.create("mae_vit_tiny", device="cpu")
    assert model.load_report is None
    assert not model.training
    assert not torch.equal(model.cls_token, maezoo.create("mae_vit_tiny", True, device="cpu").cls_token)


def test_lists() -> None:
    sizes = ("tiny", "small", "base", "large", "huge")
    assert maezoo.list_models("mae_*") == [f"mae_vit_{size}" for size in sizes]
    assert maezoo.list_models("*hu*") == ["mae_vit_huge", "pixio_vit_huge"]
    assert "mae_vit_large.in1k_normpix" in maezoo.list_pretrained()
    assert maezoo.list_pretrained("*tiny*") == ["mae_vit_tiny.photos_pixel"]
    assert maezoo.list_pretrained(field="audio", commercial=True) == ["mae_vit_base.audioset"]
    assert maezoo.list_pretrained("pixio_*", commercial=True) == []
    assert maezoo.info("mae_vit_base").name == "mae_vit_base.in1k_pixel"


def test_public_names_are_sorted_and_there() -> None:
    assert maezoo.__all__ == sorted(maezoo.__all__)
    assert set(maezoo.__all__) <= set(dir(maezoo))
    for name in maezoo.__all__:
        assert getattr(maezoo, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        maezoo.nothing_here  # noqa: B018
