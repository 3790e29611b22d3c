"""Pictures of more than 8 bits: which of their values are black and white, and when something is said."""

import io
import logging
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import maezoo
from maezoo.errors import ArgumentError, ImageError
from maezoo.images.batches import batches, open_image, prepare
from maezoo.images.preprocessing import Preprocessing, as_window
from maezoo.images.window import Scaling

SQUARE = Preprocessing(size=(32, 32))
TWELVE_BITS = np.linspace(0, 4095, 4096).astype(np.uint16).reshape(64, 64)


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A PNG with 16 bits in each of three channels, which Pillow reads but does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def part(tag: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def seen(image: Any, window: Any) -> np.ndarray:
    """The grey values of a picture, as a model sees them."""
    return np.asarray(open_image(image, scaling=Scaling(as_window(window))))[:, :, 0].astype(int)


def kinds_of(values: np.ndarray) -> list[Any]:
    return [
        values,
        values.astype(">u2"),
        np.asfortranarray(values)[:, :, None],
        np.stack([values] * 3, axis=2),
        Image.fromarray(values),
        Image.fromarray(values.astype(np.int32)),
        encoded(Image.fromarray(values), "PNG"),
        encoded(Image.fromarray(values), "TIFF"),
        encoded(Image.fromarray(values.astype(np.int32)), "TIFF"),
        encoded(Image.fromarray(values.astype(np.float32)), "TIFF"),
        values.astype(np.int16),
        values.astype(np.float64),
        values.astype(np.int64),
    ]


@pytest.mark.parametrize("kind", range(13))
@pytest.mark.parametrize(
    ("window", "low", "high"), [("auto", 0, 4095), ("percentiles", 40.95, 4054.05), ((1000, 2000), 1000, 2000)]
)
def test_a_window_means_the_same_for_every_kind_of_picture(window: Any, low: float, high: float, kind: int) -> None:
    expected = np.floor(((TWELVE_BITS.astype(float) - low) * 255 / (high - low)).clip(0, 255))
    found = seen(kinds_of(TWELVE_BITS)[kind], window)
    assert np.abs(found - expected).max() <= (window == "percentiles")  # three equal channels interpolate otherwise


def test_the_full_range_is_that_of_the_number_format_to_the_bit() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for image in (values, encoded(Image.fromarray(values), "PNG")):
        for window in ("full", "auto", (0, 65535)):
            assert np.array_equal(seen(image, window), values // 257), window


def test_pictures_of_8_bits_stay_as_they_are(photos: list[Path]) -> None:
    images: list[Any] = [photos[0], np.full((4, 4), 7, np.uint8), np.eye(4) > 0, torch.full((3, 4, 4), 9).byte()]
    for window in ("auto", "percentiles", (0, 4095)):
        assert torch.equal(prepare(images, replace(SQUARE, window=window)), prepare(images, SQUARE))


def test_transparency_is_no_brightness() -> None:
    values = np.stack([TWELVE_BITS] * 3 + [np.full_like(TWELVE_BITS, 65535)], axis=2)
    assert np.array_equal(seen(values, "auto"), seen(TWELVE_BITS, "auto"))
    assert np.array_equal(seen(values, "full"), TWELVE_BITS // 257)


def test_pictures_of_one_value_and_of_two() -> None:
    one, two = np.full((10, 10), 300, np.uint16), np.full((20, 20), 300, np.uint16)
    two[0, 0] = 400  # a single pixel of 400: both percentiles are 300
    for window in ("auto", "percentiles"):
        assert seen(one, window).max() == 0
        assert (seen(two, window)[0, 0], seen(two, window)[1, 1]) == (255, 0)


def test_channels_share_a_window() -> None:
    values = np.random.default_rng(0).integers(0, 5000, (32, 32, 5)).astype(np.uint16)
    found = prepare([values], replace(SQUARE, window=(0, 5000)), 5)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(found, values.astype(int) * 255 // 5000)


@pytest.mark.parametrize("values", [TWELVE_BITS.astype(np.float32), TWELVE_BITS.astype(np.int16) - 2000])
def test_without_a_window_what_has_no_white_is_refused_and_a_window_offered(values: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"image 0: .*window='percentiles'"):
        prepare([values], SQUARE)
    with pytest.raises(ImageError, match=r"image 0 holds .*window='percentiles'"):
        prepare([Image.fromarray(values.astype(np.float32))], SQUARE)


def test_what_is_not_finite_or_no_number_is_refused() -> None:
    bad = np.array([[0.0, np.nan], [1.0, 2.0]])
    for values in (bad, np.nan_to_num(bad, nan=np.inf)):
        for window in ("auto", "percentiles", (0, 1)):
            with pytest.raises(ImageError, match="image 0 holds NaN or infinity"):
                prepare([values], replace(SQUARE, window=window))
    with pytest.raises(ImageError, match="complex64"):
        prepare([np.zeros((4, 4), np.complex64)], replace(SQUARE, window="auto"))
    with pytest.raises(ImageError, match="infinity"):
        prepare([np.array([[-1e308, 0.0, 1e308]])], replace(SQUARE, window="auto"))


def test_16_bits_in_several_channels_are_not_windowed_from_their_upper_8() -> None:
    data = png_of_16_bits(np.stack([TWELVE_BITS] * 3, axis=2))
    with pytest.raises(ImageError, match=r"image 0 has 16 bits in each of several channels.*uint16 array"):
        prepare([data], replace(SQUARE, window="auto"))
    with pytest.raises(ImageError, match="several channels"):
        prepare([Image.open(io.BytesIO(data))], replace(SQUARE, window="auto"))
    assert prepare([data], SQUARE).max() == 15


def test_a_tiff_with_planes_of_16_bits_is_refused_not_misread() -> None:
    plane = TWELVE_BITS.astype("<u2").tobytes()
    fields = {256: 64, 257: 64, 258: 16, 259: 1, 262: 2, 277: 3, 278: 64, 284: 2}
    bits, starts, counts = 158, 164, 176  # where the values are that do not fit into an entry
    entries = [
        *((tag, 3, 1, value) for tag, value in fields.items() if tag != 258),
        *((258, 3, 3, bits), (273, 4, 3, starts), (279, 4, 3, counts)),
    ]
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0)
    values = struct.pack("<3H3I3I", 16, 16, 16, *(188 + len(plane) * number for number in range(3)), *[len(plane)] * 3)
    data = head.ljust(bits, b"\0") + values + plane * 3
    assert Image.open(io.BytesIO(data)).mode == "RGB"
    with pytest.raises(ImageError, match=r"image 0 is a TIFF with planes of 16 bits.*uint16 array"):
        prepare([data], SQUARE)


def test_a_dark_picture_is_told_of_once_in_a_call(caplog: pytest.LogCaptureFixture) -> None:
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    colours = png_of_16_bits(np.stack([TWELVE_BITS] * 3, axis=2))
    for images in ([TWELVE_BITS] * 5, iter([Image.fromarray(TWELVE_BITS)] * 5), [colours]):
        caplog.clear()
        model.features(images, batch_size=2)
        (record,) = caplog.records
        assert "window='percentiles' (--window percentiles)" in record.getMessage()
        assert re.match(r"image [01] uses values from 0 to ", record.getMessage())  # two are read at once


def test_what_needs_no_word_gets_none(caplog: pytest.LogCaptureFixture, photos: list[Path]) -> None:
    flat, wide = np.full((8, 8), 3, np.uint16), TWELVE_BITS * 16
    half = (TWELVE_BITS // 8).astype(np.int32)  # 512 of the 65,536 values that it may have
    list(batches([photos[0], flat, wide, TWELVE_BITS.astype(np.uint8)], SQUARE, 3, 4))
    list(batches([half, TWELVE_BITS], replace(SQUARE, window="auto"), 3, 4))
    assert not caplog.records
    list(batches([Image.fromarray(half)], SQUARE, 3, 4))
    assert len(caplog.records) == 1


def test_a_model_keeps_its_window(tmp_path: Path) -> None:
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", window=(np.int64(0), 4095.0))
    assert model.preprocess.window == (0, 4095)
    folder = model.save_pretrained(tmp_path / "saved")
    again = maezoo.create(f"local-dir:{folder}", device="cpu")
    assert again.preprocess == model.preprocess
    assert torch.equal(again.features(TWELVE_BITS), model.features(TWELVE_BITS))
    assert torch.equal(
        model.optimize(engine="eager", batch_sizes=(1,)).features(TWELVE_BITS), model.features(TWELVE_BITS)
    )
    plain = maezoo.create(f"local-dir:{folder}", device="cpu", window="full")
    assert not torch.equal(plain.prepare(TWELVE_BITS), model.prepare(TWELVE_BITS))
    assert "window" not in plain.preprocess.to_dict()


@pytest.mark.parametrize(
    "window",
    [
        "percentile",
        "AUTO",
        (5, 5),
        (9, 1),
        (1,),
        (0, 1, 2),
        (0, float("nan")),
        (0, float("inf")),
        (-1e308, 1e308),
        3,
        (True, 2),
    ],
)
def test_a_window_that_is_none_is_refused_at_once(window: Any) -> None:
    with pytest.raises(ArgumentError, match=r"'full', 'auto', 'percentiles', or two numbers \(low, high\)"):
        maezoo.create("mae_vit_tiny", pretrained=True, window=window)
    with pytest.raises(ArgumentError, match="window"):
        Preprocessing.from_dict({"size": [32, 32], "window": window})


def test_a_misspelt_window_suggests_the_right_one() -> None:
    with pytest.raises(ArgumentError) as raised:
        as_window("percentile")
    assert raised.value.suggestions == ("percentiles",)


def test_one_scaling_tells_once_whoever_asks(caplog: pytest.LogCaptureFixture) -> None:
    scaling = Scaling()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            open_image(TWELVE_BITS, scaling=scaling)
    assert len(caplog.records) == 1
