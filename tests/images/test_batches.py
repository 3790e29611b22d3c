"""Image-likes: every kind that users have, and every way in which one can be broken."""

import io
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from maezoo.errors import ImageError
from maezoo.images.batches import batches, denormalise, look_at, normalise, open_image, prepare
from maezoo.images.preprocessing import Preprocessing

SQUARE = Preprocessing(size=(32, 32))


def ramp(height: int = 40, width: int = 60) -> Image.Image:
    """A picture whose red grows to the right and whose green grows downwards."""
    red = np.linspace(0, 255, width).astype(np.uint8)[None].repeat(height, 0)
    green = np.linspace(0, 255, height).astype(np.uint8)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([red, green, np.full_like(red, 128)], axis=2))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "LA", "1", "I;16", "I", "YCbCr", "HSV", "PA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    source = Image.fromarray(np.full((8, 8), 40_000, np.uint16)) if mode in ("I;16", "I") else ramp().convert("RGBA")
    if mode == "I":
        source = source.convert("I")
    elif mode != "I;16":
        source = source.convert("RGB").convert(mode) if mode not in ("RGBA", "LA", "PA") else source.convert(mode)
    image = open_image(source)
    assert image.mode == "RGB"
    if mode in ("I;16", "I"):
        assert image.getpixel((0, 0)) == (155, 155, 155)  # 40,000 / 257


GREYS = np.linspace(0, 255, 60).astype(np.uint8)[None].repeat(40, 0)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def tiff_of_12_bits(values: np.ndarray) -> bytes:
    """A TIFF that packs two pixels into three bytes, as cameras and microscopes do."""
    left, right = values[:, ::2].astype(np.int64), values[:, 1::2].astype(np.int64)
    packed = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], axis=-1).astype(np.uint8).tobytes()
    height, width = values.shape
    fields = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 122, 277: 1, 278: height, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + struct.pack("<I", 0) + packed


@pytest.mark.parametrize(
    ("image", "exactly"),
    [
        (Image.fromarray(GREYS.astype(np.int32)), True),
        (encoded(Image.fromarray(GREYS.astype(np.int32)), "TIFF"), True),
        (Image.fromarray(GREYS.astype(np.int32) * 257), True),
        (encoded(Image.fromarray(GREYS.astype(np.uint16) * 257), "TIFF"), True),
        (encoded(Image.fromarray(GREYS.astype(np.uint16) * 257), "PNG"), True),
        (Image.frombytes("I;16B", (60, 40), (GREYS.astype(np.uint16) * 257).astype(">u2").tobytes()), True),
        (b"P5 60 40 65535\n" + (GREYS.astype(np.uint16) * 257).astype(">u2").tobytes(), True),
        (b"P5 60 40 4095\n" + (GREYS.astype(np.int64) * 4095 // 255).astype(">u2").tobytes(), False),
        (tiff_of_12_bits(GREYS.astype(np.int64) * 4095 // 255), False),
        ((GREYS.astype(np.uint16) * 257).astype(">u2"), True),
        ((GREYS.astype(np.uint16) * 257).astype("<u2"), True),
        (np.asfortranarray(GREYS), True),
        (np.repeat(np.repeat(GREYS, 2, axis=0), 2, axis=1)[::2, ::2], True),
    ],
)
def test_grey_is_as_bright_as_its_file_says(image: object, exactly: bool) -> None:
    found = np.asarray(open_image(image))[:, :, 0].astype(int)  # type: ignore[arg-type]
    assert np.abs(found - GREYS).max() <= (0 if exactly else 1)


def test_a_dark_picture_of_16_bits_stays_dark() -> None:
    dark = GREYS.astype(np.uint16)
    pgm = b"P5 60 40 65535\n" + dark.astype(">u2").tobytes()
    for image in (dark, encoded(Image.fromarray(dark), "PNG"), encoded(Image.fromarray(dark), "TIFF"), pgm):
        assert np.asarray(open_image(image)).max() == 0


@pytest.mark.parametrize(("low", "high"), [(-1024, 3071), (0, 70_000)])
def test_a_range_that_no_bits_explain_is_refused(low: int, high: int) -> None:
    with pytest.raises(ImageError, match=rf"image 3 holds pixels from {low} to {high}"):
        open_image(Image.fromarray(np.array([[low, high]], np.int32)), name="image 3")


def test_bool_read_only_and_five_channel_arrays() -> None:
    assert np.array_equal(np.asarray(open_image(GREYS > 99))[:, :, 1], np.where(GREYS > 99, 255, 0))
    frozen = GREYS.copy()
    frozen.flags.writeable = False
    assert np.array_equal(np.asarray(open_image(frozen))[:, :, 1], GREYS)
    five = np.random.default_rng(0).integers(0, 256, (32, 32, 5)).astype(">u2") * 257
    assert torch.equal(prepare([five], SQUARE, 5), prepare([(five // 257).astype(np.uint8)], SQUARE, 5))


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF that turns the picture by a quarter, and holds some entries (tag, type, count, value) besides."""
    turned = [(0x0112, 3, 1, struct.pack("<H", 6)), *entries]
    fields, values, start = b"", b"", 8 + 2 + 12 * len(turned) + 4
    for tag, kind, count, value in turned:
        place = struct.pack("<I", start + len(values)) if len(value) > 4 else value.ljust(4, b"\0")
        values += value if len(value) > 4 else b""
        fields += struct.pack("<HHI", tag, kind, count) + place
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(turned)) + fields + struct.pack("<I", 0) + values


BIGTIFF = b"Exif\0\0II+\0\x08\0\0\0" + struct.pack("<QQHHQQQ", 16, 1, 0x0112, 3, 1, 6, 0)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of the damage
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("metadata", "size"),
    [
        (exif((0x829A, 10, 1, struct.pack("<ii", -1, 0))), (40, 60)),  # what can be read is used
        (exif((0x011A, 10, 1, struct.pack("<ii", -1, 0))), (40, 60)),
        (exif((0x8769, 2, 4, b"abc\0")), (40, 60)),
        (b"Exif\0\0there is no header", (60, 40)),
        (b"Exif\0\0II*\0", (60, 40)),
        (BIGTIFF, (60, 40)),
        (b"Exif\0\0II*\0\xff\xff\xff\xff", (60, 40)),
    ],
)
def test_metadata_that_cannot_be_parsed_costs_no_picture(kind: str, metadata: bytes, size: tuple[int, int]) -> None:
    data = encoded(ramp(), kind, exif=metadata)
    assert open_image(data).size == size
    assert open_image(Image.open(io.BytesIO(data))).size == size


def test_tiffs_with_metadata_out_of_place(tmp_path: Path) -> None:
    for big in (False, True):
        directory = TiffImagePlugin.ImageFileDirectory_v2()
        directory[0x8769], directory[0x0112] = 10**6, 6
        ramp().save(tmp_path / "far.tif", tiffinfo=directory, big_tiff=big)
        assert open_image(tmp_path / "far.tif").size == (40, 60)


def test_warnings_that_are_errors_cost_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp().save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 60 - 1)
    filters = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(tmp_path / "large.png").size == (60, 40)
        assert open_image((tmp_path / "large.png").read_bytes()).size == (60, 40)
        assert torch.cat(list(batches([tmp_path / "large.png"] * 8, SQUARE, 3, 4))).shape[0] == 8
    assert warnings.filters == filters
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 60 // 3)
    with pytest.raises(ImageError, match=r"image 0 .*decompression bomb.*MAX_IMAGE_PIXELS"):
        list(batches([(tmp_path / "large.png").read_bytes()], SQUARE, 3, 4))


def test_heic_names_what_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ImageError, match=r"phone\.heic .*pip install pillow-heif"):
        open_image(tmp_path / "phone.heic")


def test_heic_is_read_where_its_plug_in_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(ramp(64, 96)).save(buffer, quality=95)
    assert np.abs(np.asarray(open_image(buffer)).astype(int) - np.asarray(ramp(64, 96))).mean() < 4


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert open_image(clear).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 3)
    palette.info["transparency"] = 3
    assert open_image(palette).getpixel((0, 0)) == (255, 255, 255)


def png(bits: int, colours: int, pixels: bytes, transparent: bytes) -> bytes:
    """A PNG of one row of three pixels, with a value or colour that stands for transparency."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 3, 1, bits, colours, 0, 0, 0)
    parts = (b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + pixels)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("bits", "colours", "pixels", "transparent"),
    [
        (2, 0, b"\x1b", b"\0\1"),
        (4, 0, b"\x01\x20", b"\0\1"),
        (8, 0, b"\0\1\2", b"\0\1"),
        (16, 0, b"\0\0\1\2\2\2", b"\1\2"),
        (8, 2, bytes(3) + b"\1\2\3" + bytes(3), b"\0\1\0\2\0\3"),
        (16, 2, bytes(6) + b"\1\0\2\0\3\0" + bytes(6), b"\1\0\2\0\3\0"),
    ],
)
def test_one_transparent_value_is_white_in_any_number_of_bits(
    bits: int, colours: int, pixels: bytes, transparent: bytes
) -> None:
    row = np.asarray(open_image(png(bits, colours, pixels, transparent)))[0, :, 0]
    assert row[1] == 255
    assert row[0] == 0
    assert row[2] < 255


def test_premultiplied_grey_is_laid_over_white() -> None:
    grey = Image.new("LA", (4, 4), (200, 128))
    assert open_image(grey.convert("La")).getpixel((0, 0)) == open_image(grey).getpixel((0, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    upright = ramp()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(np.asarray(open_image(tmp_path / "turned.png")), np.asarray(upright))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "two.gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000), (33, 7)])
@pytest.mark.parametrize("rule", ["crop", "squash"])
def test_extreme_shapes(size: tuple[int, int], rule: str) -> None:
    batch = prepare([Image.new("RGB", size, "teal")], Preprocessing(size=(32, 48), resize=rule))
    assert batch.shape == (1, 3, 32, 48)
    assert batch[0, :, 5, 5].tolist() == [0, 128, 128]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    side=st.sampled_from([16, 24, 32]),
    crop_pct=st.sampled_from([1.0, 0.9, 0.875]),
)
def test_any_size_is_prepared(width: int, height: int, side: int, crop_pct: float) -> None:
    image = Image.new("RGB", (width, height), (10, 20, 30))
    batch = prepare([image], Preprocessing(size=(side, side + 8), crop_pct=crop_pct))
    assert batch.shape == (1, 3, side, side + 8)
    assert (batch.amin((0, 2, 3)).tolist(), batch.amax((0, 2, 3)).tolist()) == ([10, 20, 30], [10, 20, 30])


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (640, 427), (224, 224), (301, 1000)])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 1.0])
def test_crop_equals_resize_then_center_crop(size: tuple[int, int], crop_pct: float) -> None:
    """One resize of the kept box gives what timm's evaluation transform gives, within one grey level."""
    from timm.data import create_transform

    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    reference = create_transform((3, 224, 224), interpolation="bicubic", crop_pct=crop_pct, mean=(0,) * 3, std=(1,) * 3)
    expected = (reference(image) * 255).round()
    ours = prepare([image], Preprocessing(size=(224, 224), crop_pct=crop_pct))[0].float()
    assert (ours - expected).abs().max() <= 2
    assert (ours - expected).abs().mean() < 0.05


def test_large_jpegs_are_decoded_smaller_and_stay_the_same(tmp_path: Path, photos: list[Path]) -> None:
    big = Image.open(photos[0]).resize((2400, 1600), Image.Resampling.LANCZOS)
    big.save(tmp_path / "big.jpg", quality=92)
    assert open_image(tmp_path / "big.jpg", least=96).size == (300, 200)
    preprocess = Preprocessing(size=(96, 96))
    quick = normalise(prepare([tmp_path / "big.jpg"], preprocess), preprocess)
    exact = normalise(prepare([big], preprocess), preprocess)
    assert (quick - exact).abs().mean() < 0.03


def test_normalise_and_back() -> None:
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(denormalise(normalise(pixels, SQUARE), SQUARE), pixels / 255, rtol=0, atol=1e-6)
    reference = (pixels / 255 - torch.tensor(SQUARE.mean).view(3, 1, 1)) / torch.tensor(SQUARE.std).view(3, 1, 1)
    torch.testing.assert_close(normalise(pixels, SQUARE), reference)


def test_arrays_and_tensors_agree() -> None:
    array = np.asarray(ramp(32, 32))
    expected = prepare([ramp(32, 32)], SQUARE)
    assert torch.equal(prepare([array], SQUARE), expected)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)[None]
    assert torch.equal(next(batches(tensor, SQUARE, 3, 8)), expected)
    assert torch.equal(next(batches(array[None], SQUARE, 3, 8)), expected)
    grey = prepare([array[:, :, 0]], SQUARE)
    assert torch.equal(grey, prepare([array[:, :, :1]], SQUARE))
    assert torch.equal(grey[0, 0], grey[0, 2])


def test_other_channel_counts() -> None:
    assert prepare([ramp()], SQUARE, 1).shape == (1, 1, 32, 32)
    five = np.random.default_rng(0).integers(0, 256, (40, 50, 5), dtype=np.uint8)
    batch = prepare([five], SQUARE, 5)
    assert batch.shape == (1, 5, 32, 32)
    one = prepare([Image.fromarray(np.ascontiguousarray(five[:, :, 3]))], SQUARE)
    assert torch.equal(batch[0, 3], one[0, 0])
    with pytest.raises(ImageError, match=r"takes 5 channels"):
        prepare([ramp()], SQUARE, 5)


def test_batches_keep_the_order() -> None:
    images = [Image.new("RGB", (4, 4), (i, i, i)) for i in range(7)]
    chunks = list(batches(images, SQUARE, 3, 3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert torch.cat(chunks)[:, 0, 0, 0].tolist() == list(range(7))
    assert look_at(images).total == 7
    assert next(batches([], SQUARE, 3, 4)).shape == (0, 3, 32, 32)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and whose data is nearly nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def jpeg() -> bytes:
    buffer = io.BytesIO()
    ramp(200, 300).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "the file is empty"),
        ("text.jpg", b"this is no picture", "no image format"),
        ("cut.jpg", jpeg()[: len(jpeg()) // 2], "truncated"),
        ("bomb.png", png_claiming(60_000, 60_000), "decompression bomb"),
        ("short.png", png_claiming(64, 64), "short.png"),
    ],
)
def test_broken_files_say_which_and_why(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=name) as caught:
        open_image(tmp_path / name)
    assert reason in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        open_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError):
        open_image(tmp_path)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some of the damage that it survives
def test_two_hundred_damaged_images_give_an_image_or_an_image_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF"}
    refused = []
    for index in range(200):
        suffix = list(kinds)[index % len(kinds)]
        buffer = io.BytesIO()
        ramp(64, 64).save(buffer, kinds[suffix])
        data = bytearray(buffer.getvalue())
        for _ in range(rng.integers(1, 30)):
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
        if index % 3 == 0:
            data = data[: rng.integers(0, len(data))]
        path = tmp_path / f"{index}.{suffix}"
        path.write_bytes(data)
        try:
            assert open_image(path).mode == "RGB"
        except ImageError as error:
            refused.append((path, str(error)))
    assert len(refused) > 50
    assert all(str(path) in message for path, message in refused)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 3), r"\(B, C, H, W\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "int64"),
        (torch.full((1, 3, 32, 32), float("nan")), "NaN"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((8, 8, 7), np.uint8), r"\(8, 8, 7\)"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (3.5, "float"),
        ([None], "image 0 is a NoneType"),
        ([Image.new("F", (4, 4))], "image 0 holds floating-point"),
    ],
)
def test_wrong_kinds(images: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        list(batches(images, SQUARE, 3, 4))  # type: ignore[arg-type]


def test_the_broken_one_of_many_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"?")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        list(batches([ramp(), tmp_path / "bad.jpg"], SQUARE, 3, 4))
    with pytest.raises(ImageError, match="image 5"):
        list(batches([ramp()] * 5 + [np.zeros((2, 2, 9), np.uint8)], SQUARE, 3, 2))
    with pytest.raises(ValueError, match="batch_size"):
        list(batches([ramp()], SQUARE, 3, 0))


def test_after_an_error_the_rest_is_not_decoded() -> None:
    class Picture(io.BytesIO):
        opened = 0

        def read(self, *size: int | None) -> bytes:
            Picture.opened += 1
            return super().read(*size)

    given = [Picture(b"no picture"), *(Picture(jpeg()) for _ in range(500))]
    with pytest.raises(ImageError, match="image 0"):
        list(batches(given, SQUARE, 3, 501))
    assert Picture.opened < 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": (0, 3)}, "size"),
        ({"size": (3, 3), "resize": "stretch"}, "resize"),
        ({"size": (3, 3), "crop_pct": 0}, "crop_pct"),
        ({"size": (3, 3), "interpolation": "magic"}, "interpolation"),
        ({"size": (3, 3), "std": (1.0, 0.0, 1.0)}, "std"),
    ],
)
def test_preprocessing_refuses_nonsense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(**fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_dict(fields)


def test_preprocessing_survives_json() -> None:
    import json

    wide = Preprocessing(size=(32, 64), resize="squash", interpolation="bilinear", mean=(0.5,), std=(0.5,))
    assert Preprocessing.from_dict(json.loads(json.dumps(wide.to_dict()))) == wide
    with pytest.raises(ValueError, match="colour"):
        Preprocessing.from_dict({"size": [3, 3], "colour": True})
