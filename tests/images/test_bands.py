"""Bands: in the weights' order, on their scale, with all their bits; and what is said of those that are not."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maezoo import Scene, Sound, Text
from maezoo.errors import ArgumentError, ImageError, MissingExtraError
from maezoo.images.batches import batches, normalise, prepare
from maezoo.images.preprocessing import Preprocessing

S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
WEIGHTS = Preprocessing((32, 32), mean=(0.1,) * 13, std=(0.2,) * 13, bands=S2, window=(0, 10_000), clip=False)
CLIPPED = Preprocessing((32, 32), mean=(0.0,) * 13, std=(1.0,) * 13, bands=S2, window=(0, 10_000))


def scene(kind: type = np.uint16, side: int = 32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(1, 9_000, (side, side, 13)).astype(kind)


def prepared(*given: Any, weights: Preprocessing = WEIGHTS) -> torch.Tensor:
    return torch.cat(list(batches(list(given), weights, 13, 8)))


def write_tif(path: Path, values: np.ndarray[Any, Any], names: tuple[str, ...] | None = S2, **tags: Any) -> Path:
    rasterio = pytest.importorskip("rasterio")
    scales, offsets, nodata = tags.pop("scales", None), tags.pop("offsets", None), tags.pop("nodata", None)
    H, W, C = values.shape
    place = rasterio.Affine(10, 0, 0, 0, -10, 0)
    shape = {"height": H, "width": W, "count": C, "dtype": values.dtype, "transform": place, "crs": "EPSG:32632"}
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, **shape, **tags) as file:
        file.write(np.moveaxis(values, 2, 0))
        for band, name in enumerate(names or (), 1):
            file.set_band_description(band, name)
        if scales:
            file.scales = (scales,) * C
        if offsets:
            file.offsets = (offsets,) * C
    return path


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_arrays_keep_all_their_bits_whatever_their_format(kind: type) -> None:
    expected = (torch.tensor(scene().astype(np.float64) / 10_000).permute(2, 0, 1)[None] - 0.1) / 0.2
    assert torch.allclose(prepared(scene(kind)), expected.float(), atol=1e-5)
    tensor = torch.tensor(scene().astype(np.int32)).permute(2, 0, 1)
    assert torch.equal(prepared(tensor), prepared(scene()))
    assert torch.equal(prepared(Scene(tensor.float())), prepared(scene()))


def test_bands_are_resized_by_the_rule_of_pictures() -> None:
    bytes_ = np.random.default_rng(0).integers(0, 256, (50, 70, 13)).astype(np.uint8)
    rule = Preprocessing(
        (32, 32), crop_pct=0.875, interpolation="bilinear", mean=(0.0,) * 13, std=(1.0,) * 13, bands=S2, window=(0, 255)
    )
    photo = prepare([bytes_[:, :, :3]], Preprocessing((32, 32), crop_pct=0.875, interpolation="bilinear"))
    assert torch.equal(prepared(bytes_, weights=rule)[:, :3], photo)  # uint8, as ever
    floats = prepared(bytes_.astype(np.float32), weights=rule)[:, :3] * 255
    assert (floats - photo).abs().max() < 2  # not rounded to whole numbers


def test_values_outside_the_weights_range_are_cut_where_training_cut_them() -> None:
    bright = scene(np.int16)
    bright[0, 0], bright[1, 1] = 15_000, -200
    found = prepared(bright, weights=CLIPPED)
    assert (found.min(), found.max()) == (0, 1)
    assert prepared(bright).max() > (1.4 - 0.1) / 0.2


def test_names_bring_bands_into_order_and_leave_others_out() -> None:
    mixed = [*S2[::-1], "QA60"]
    more = np.concatenate([scene()[:, :, ::-1], scene()[:, :, :1]], axis=2)
    assert torch.equal(prepared(Scene(more, bands=mixed)), prepared(scene()))
    short = [name.replace("B0", "b") for name in S2]  # b1, as some tools write it
    assert torch.equal(prepared(Scene(scene(), bands=short)), prepared(scene()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (scene()[:, :, :12], r"has 12 bands, and these weights take 13: B01, B02.*\(H, W, 13\)"),
        (scene().transpose(2, 0, 1), r"\(13, \d+, \d+\), and bands come last.*array\.transpose\(1, 2, 0\)"),
        (np.zeros((9, 9, 3), np.uint8), "has 3 bands, and these weights take 13: B01"),
        (Image.new("RGB", (9, 9)), r"takes 13 channels \(B01, B02"),
        (Scene(scene(), bands=[*S2[:12], "B99"]), r"lacks B12: these weights take B01.*and it has B01.*B99"),
        (Scene(scene(), bands=[*S2[:12], "B1"]), "has B01 more than once|lacks B12"),
        (Scene(scene(), bands=S2[:5]), "has 13 bands, and 5 names are given"),
        (np.full((9, 9, 13), np.nan, np.float32), r"NaN.*nodata=float\('nan'\)"),
        (scene(np.float32) / 10_000, r"float32 from .* these weights take values from 0 to 10000.*scale=10000"),
        (np.where(scene(np.int16) < 99, -9999, scene(np.int16)), r"holds -9999.*nodata=-9999"),
        (-scene(np.int16), "from -8999 to -1, and these weights take values from 0 to 10000"),
        (np.zeros((0, 9, 13), np.uint16), "not empty"),
        (scene()[0], r"array of bands is \(H, W, 13\)|has 1 band"),
        (scene().astype(complex), "numbers, integers or floats; got complex128"),
        (np.full((9, 9, 13), None), "numbers, integers or floats; got object"),
        (Scene(scene(), crop=(20, 0, 20, 8)), r"32x32 pixels \(HxW\), and the crop"),
        (Scene(np.full((9, 9, 13), -1, np.int16), nodata=-1), "has no data"),
        (Scene(np.zeros((9, 9, 13), np.uint8), nodata=0), "has no data"),
        (np.full((9, 9, 13), -3, np.int16), "from -3 to -3, and these weights take values from 0 to 10000"),
        (Sound(np.zeros(9_000), 16_000), "is a Sound, and this model takes bands"),
        (Text("a field"), "is a Text, and this model takes bands"),
        ("nowhere.tif", "no such file"),
    ],
)
def test_what_is_no_scene_of_these_bands_is_told_with_the_cure(given: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message) as raised:
        prepared(scene(), given)
    assert raised.value.index == 1


def test_where_nobody_knows_the_scale_it_has_to_be_said() -> None:
    unknown = Preprocessing((32, 32), mean=(0.0,) * 13, std=(1.0,) * 13, bands=S2)
    with pytest.raises(ImageError, match=r"int16 from .*nothing says on which scale.*window=\(low, high\)"):
        prepared(scene(np.int16), weights=unknown)
    each = (tuple(range(13)), tuple(range(9_000, 9_013)))  # a range for each band
    known = Preprocessing.from_dict({**unknown.to_dict(), "window": each, "clip": False})
    assert Preprocessing.from_dict(known.to_dict()) == known
    found = prepared(scene(np.int16), weights=known)
    assert torch.allclose(found[0, 5], torch.tensor((scene()[:, :, 5] - 5.0) / 9_000).float(), atol=1e-6)
    with pytest.raises(ArgumentError, match="window has 2 values for 13 bands"):
        Preprocessing.from_dict({**unknown.to_dict(), "window": ((0, 0), (1, 1))})


def test_pixels_without_data_are_filled_and_told(caplog: pytest.LogCaptureFixture) -> None:
    holes = scene(np.float32)
    holes[:8] = np.nan
    with caplog.at_level(logging.WARNING):
        found = prepared(Scene(holes, nodata=float("nan")))
    assert found[0, :, :6].abs().max() < 1e-5  # the weights' mean
    assert "no data in 25 % of its pixels" in caplog.text


def test_no_data_is_the_value_that_is_stored_whatever_the_scale(tmp_path: Path) -> None:
    holes = scene(np.int16)
    holes[:8] = -9999
    filled = prepared(Scene(holes, nodata=-9999))
    assert torch.allclose(prepared(Scene(holes, nodata=-9999, scale=0.5, offset=1.0))[0, :, :6], filled[0, :, :6])
    path = write_tif(tmp_path / "holes.tif", holes, S2, scales=2.0)
    assert torch.allclose(prepared(Scene(path, nodata=-9999))[0, :, :6], filled[0, :, :6], atol=1e-6)


def test_pixels_of_8_bits_without_data_are_filled_as_others_are() -> None:
    dark = (scene() / 40).astype(np.uint8)
    dark[:8] = 0
    found = prepared(Scene(dark, nodata=0))
    absent = torch.tensor((dark == 0).any(axis=2))
    assert found[0, :, absent].abs().max() < 1e-5
    expected = normalise(prepared(dark), WEIGHTS)
    assert torch.allclose(found[0, :, ~absent], expected[0, :, ~absent], atol=1e-5)


@pytest.mark.parametrize("wrong", [{"scale": float("nan")}, {"offset": "1"}, {"nodata": "none"}, {"scale": True}])
def test_what_is_no_number_is_refused_when_the_scene_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(wrong))} is a number"):
        Scene(scene(), **wrong)


def test_geotiffs_are_read_by_their_bands_names_scales_and_masks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = prepared(scene())
    plain = write_tif(tmp_path / "plain.tif", scene(), None)
    turned = write_tif(tmp_path / "turned.tif", scene()[:, :, ::-1], S2[::-1], tiled=True, compress="deflate")
    numbered = write_tif(tmp_path / "numbered.tif", scene(), tuple(f"Band {n}" for n in range(13)))
    before = dict(os.environ)
    given = [plain, str(turned), numbered, turned.read_bytes(), turned.open("rb")]
    assert torch.equal(prepared(*given), expected.repeat(5, 1, 1, 1))
    given[-1].close()  # type: ignore[union-attr]
    assert dict(os.environ) == before
    offset = write_tif(tmp_path / "offset.tif", scene() + np.uint16(1_000), S2, scales=1.0, offsets=-1_000.0)
    assert torch.allclose(prepared(offset), expected, atol=1e-4)
    scaled = write_tif(tmp_path / "scaled.tif", scene(), S2, scales=0.0001)
    with pytest.raises(ImageError, match=r"scaled\.tif holds float32 from .*scale=10000"):
        prepared(scaled)
    assert torch.equal(prepared(Scene(scaled, scale=1)), expected)
    holes = scene(np.int16)
    holes[:8] = -9999
    with caplog.at_level(logging.WARNING):
        assert prepared(write_tif(tmp_path / "holes.tif", holes, S2, nodata=-9999))[0, :, :6].abs().max() < 1e-5
    assert "holes.tif has no data in 25 %" in caplog.text
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".tif"] * 6  # nothing is written next to them


def test_tiles_of_a_geotiff_are_its_parts(tmp_path: Path) -> None:
    values = scene(side=70)
    path = write_tif(tmp_path / "large.tif", values)
    tiles = Scene(path).tiles(32)
    assert [tile.crop[:2] for tile in tiles] == [(0, 0), (0, 32), (32, 0), (32, 32)]
    assert torch.equal(prepared(tiles[3]), prepared(values[32:64, 32:64]))
    assert torch.equal(prepared(*tiles), prepared(*Scene(values).tiles(32)))
    np.save(tmp_path / "large.npy", values)
    assert torch.equal(prepared(Scene(tmp_path / "large.npy").tiles(32)[3]), prepared(tiles[3]))
    assert len(Scene(path).tiles(32, stride=16)) == 9
    with pytest.raises(ArgumentError, match="do not fit a scene of 70x70"):
        Scene(path).tiles(100)


def test_a_raster_too_large_for_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "huge.tif"
    shape = {"height": 40_000, "width": 40_000, "count": 13, "dtype": "uint16", "tiled": True, "sparse_ok": True}
    place = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(path, "w", driver="GTiff", transform=place, bigtiff="yes", **shape):
        pass
    with pytest.raises(ImageError, match=r"40000x40000 pixels in 13 bands, 20,800,000,000 values.*tiles\(224\)"):
        prepared(path)
    assert len(Scene(path).tiles(10_000)) == 16
    assert prepared(Scene(path, crop=(39_000, 39_000, 64, 64))).shape == (1, 13, 32, 32)


def test_files_that_are_no_rasters(tmp_path: Path) -> None:
    whole = write_tif(tmp_path / "whole.tif", scene(side=200)).read_bytes()
    cases = {
        "cut.tif": (whole[: len(whole) // 3], r"cannot be read as GeoTIFF"),
        "text.tif": (b"this is a text", r"takes 13 channels"),
        "empty.tif": (b"", r"takes 13 channels|empty"),
        "header.tif": (b"II*\0" + bytes(4), r"cannot be read as GeoTIFF"),
        "short.npy": (b"\x93NUMPY\x01\x00", r"cannot be read as an array"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        for source in (tmp_path / name, data):
            with pytest.raises(ImageError, match=message):
                prepared(source)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="Python objects"):
        prepared(tmp_path / "objects.npy")
    with pytest.raises(ImageError, match="URLs are not fetched"):
        prepared("https://example.com/a.tif")
    with pytest.raises(ImageError, match="no such file"):
        prepared("/vsicurl/https://example.com/a.tif")


def test_without_rasterio_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", scene())
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maezoo\[geo\]'"):
        prepared(path)
