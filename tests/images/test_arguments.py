"""What may be passed as images: one thing or many, of any kind, looked at once."""

import io
import mmap
import os
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import maezoo
from maezoo.errors import ImageError, MaskError
from maezoo.images.batches import batches, look_at, prepare
from maezoo.images.preprocessing import Preprocessing

SQUARE = Preprocessing(size=(32, 32))


@pytest.fixture(scope="module")
def model() -> maezoo.MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


@pytest.fixture(scope="module")
def expected(model: maezoo.MAE, photos: list[Path]) -> torch.Tensor:
    return model.features(photos)


def test_an_iterator_gives_what_its_list_gives(
    model: maezoo.MAE, photos: list[Path], expected: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert torch.equal(model.features(iter(photos), progress=True, batch_size=2), expected)
    assert "images" in capsys.readouterr().err
    assert torch.equal(model.features(path for path in photos), expected)
    assert torch.equal(model.feature_maps(iter(photos))[0], model.feature_maps(photos)[0])
    mask = maezoo.random_mask(len(photos), model.grid_size, seed=1)
    assert torch.equal(model.encode(iter(photos), mask=mask, batch_size=2), model.encode(photos, mask=mask))
    assert torch.equal(model.encode(iter(photos), mask=mask[0]), model.encode(photos, mask=mask[:1]))
    whole = maezoo.reconstruct_all(model, iter(photos), 0.5, progress=True)
    assert torch.equal(whole.error, maezoo.reconstruct_all(model, photos, 0.5).error)


@pytest.mark.parametrize("strategy", ["random", "block", "grid", "cells"])
def test_a_seed_gives_one_mask_whatever_the_batch_and_the_kind(
    strategy: str, model: maezoo.MAE, photos: list[Path]
) -> None:
    together = model.reconstruct(photos, strategy=strategy, seed=3)  # type: ignore[arg-type]
    apart = model.reconstruct(iter(photos), strategy=strategy, seed=3, batch_size=2)  # type: ignore[arg-type]
    assert torch.equal(apart.mask, together.mask)
    drawn = maezoo.masks.draw_mask(strategy, len(photos), model.grid_size, 0.75, seed=3)
    assert torch.equal(together.mask, drawn)


def test_masks_and_images_of_unequal_number_are_refused(model: maezoo.MAE, photos: list[Path]) -> None:
    mask = maezoo.random_mask(2, model.grid_size, seed=0)
    for call in (model.encode, model.reconstruct):
        with pytest.raises(MaskError, match="2 rows, but there are more images"):
            call(iter(photos[:3]), mask=mask, batch_size=2)  # type: ignore[operator]
        with pytest.raises(MaskError, match="2 rows, but there were only 1 images"):
            call(iter(photos[:1]), mask=mask)  # type: ignore[operator]


def test_a_generator_is_taken_as_it_is_needed() -> None:
    taken = 0

    def endless() -> Iterator[Image.Image]:
        nonlocal taken
        while True:
            taken += 1
            yield Image.new("RGB", (8, 8), (taken, 0, 0))

    stream = batches(endless(), SQUARE, 3, 4)
    assert [chunk[:, 0, 0, 0].tolist() for chunk in (next(stream), next(stream))] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert taken <= 12


def test_what_a_generator_changes_or_closes_behind_an_image_does_not_matter(tmp_path: Path) -> None:
    def colours() -> Iterator[object]:
        frame = np.zeros((8, 8, 3), np.uint8)
        for value in (10, 20):
            frame[:] = value
            yield frame
        for value in (30, 40):
            Image.new("RGB", (8, 8), (value,) * 3).save(tmp_path / "x.png")
            with Image.open(tmp_path / "x.png") as image:
                yield image
        for value in (50, 60):
            Image.new("RGB", (8, 8), (value,) * 3).save(tmp_path / "y.png")
            with (tmp_path / "y.png").open("rb") as file:
                yield file
        pixels = torch.zeros(3, 8, 8, dtype=torch.uint8)
        for value in (70, 80):
            yield pixels.fill_(value)

    found = torch.cat(list(batches(colours(), SQUARE, 3, 8)))  # type: ignore[arg-type]
    assert found[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50, 60, 70, 80]


def test_columns_of_paths_are_lists(photos: list[Path]) -> None:
    names = [str(path) for path in photos]
    expected = prepare(names, SQUARE)
    columns: list[object] = [
        np.array(names),
        np.array(names, dtype=object),
        np.array(photos, dtype=object),
        np.array([name.encode() for name in names]),
        tuple(names),
        dict.fromkeys(names).keys(),
        dict(enumerate(names)).values(),
    ]
    for column in columns:
        assert torch.equal(torch.cat(list(batches(column, SQUARE, 3, 64))), expected)  # type: ignore[arg-type]
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(names, index=range(5, 5 + len(names)))
    assert torch.equal(torch.cat(list(batches(series, SQUARE, 3, 64))), expected)
    assert look_at(series).total == len(names)
    with pytest.raises(ImageError, match="DataFrame"):
        list(batches(series.to_frame(), SQUARE, 3, 64))


def test_bytes_and_open_files_are_images(photos: list[Path]) -> None:
    data = photos[0].read_bytes()
    expected = prepare([photos[0]], SQUARE)
    with photos[0].open("rb") as file:
        file.read(10)
        alone: list[object] = [data, bytearray(data), memoryview(data), io.BytesIO(data), file]
        for image in alone:
            assert torch.equal(next(batches(image, SQUARE, 3, 4)), expected)  # type: ignore[arg-type]
        together = torch.cat(list(batches([*alone, file, file], SQUARE, 3, 4)))  # type: ignore[list-item]
        assert torch.equal(together, expected.expand(7, -1, -1, -1))
    with pytest.raises(ImageError, match=r"image 0 cannot be read from a BufferedReader.*closed"):
        next(batches(file, SQUARE, 3, 4))
    with pytest.raises(ImageError, match="'rb'"):
        next(batches(io.StringIO("text"), SQUARE, 3, 4))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"image 1 .*no image format"):
        list(batches([data, b"this is no picture"], SQUARE, 3, 4))
    with pytest.raises(ImageError, match=r"image 0 .*empty"):
        list(batches(b"", SQUARE, 3, 4))


def test_tensors_in_lists(model: maezoo.MAE, photos: list[Path]) -> None:
    pixels = [torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8), torch.randint(0, 256, (3, 8, 8)).byte()]
    arrays = [each.permute(1, 2, 0).numpy() for each in pixels]
    assert torch.equal(torch.cat(list(batches(pixels, SQUARE, 3, 1))), prepare(arrays, SQUARE))
    normalised = model.prepare(photos[:3])
    assert torch.equal(model.prepare(list(normalised)), normalised)
    mixed = [photos[0], normalised[1], photos[2].read_bytes(), arrays[0], pixels[0]]
    found = model.prepare(mixed)
    assert torch.equal(found[:3], normalised)
    assert torch.equal(found[3], found[4])
    with pytest.raises(ImageError, match=r"image 2 .*\(3, 64, 96\).*those before it \(3, 96, 96\)"):
        model.features([*normalised[:2], torch.zeros(3, 64, 96)], batch_size=2)
    with pytest.raises(ImageError, match=r"image 1: .*\(1, 3, 96, 96\)"):
        model.features([photos[0], normalised[:1]])
    with pytest.raises(ImageError, match="image 1, a tensor, holds NaN"):
        model.features([photos[0], torch.full((3, 96, 96), torch.nan)])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"a.jpg", "b.jpg"}, "a set is no list"),
        ({"a.jpg": 1}, "a dict is no list"),
        (3, "from an int"),
        (None, "from a NoneType"),
        ([["a.jpg"]], "image 0 is a list"),
        ([1], "image 0 is an int"),
        (np.array([["a.jpg"]]), r"one axis long; got \(1, 1\)"),
        ("https://example.com/a.jpg", "https://example.com/a.jpg: URLs are not fetched"),
        (["s3://bucket/a.jpg"], "URLs are not fetched"),
        (np.zeros((4, 4), np.int32), "uint8 .* or uint16, not int32"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(images: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        list(batches(images, SQUARE, 3, 4))  # type: ignore[arg-type]


def test_one_picture_object_may_be_given_often_and_to_several_threads(photos: list[Path]) -> None:
    expected = prepare([photos[0]], SQUARE).expand(16, -1, -1, -1)
    for _ in range(5):
        lazy = Image.open(photos[0])
        assert torch.equal(torch.cat(list(batches([lazy] * 16, SQUARE, 3, 16))), prepare([lazy] * 16, SQUARE))
        handle = io.BytesIO(photos[0].read_bytes())
        sharing_a_file = [Image.open(handle) for _ in range(16)]
        together = torch.cat(list(batches(sharing_a_file, SQUARE, 3, 16)))
        assert (together.int() - expected.int()).abs().max() <= 12  # a path may be decoded smaller
        lazy = Image.open(photos[0])
        start = threading.Barrier(4)

        def decode(_: int, lazy: Image.Image = lazy, start: threading.Barrier = start) -> torch.Tensor:
            start.wait(timeout=30)
            return torch.cat(list(batches(lazy, SQUARE, 3, 1)))

        with ThreadPoolExecutor(4) as pool:
            first, *others = pool.map(decode, range(4))
        assert all(torch.equal(first, other) for other in others)
    assert lazy.getpixel((0, 0)) == Image.open(photos[0]).getpixel((0, 0))


def test_numbers_may_be_numpys(model: maezoo.MAE, photos: list[Path], expected: torch.Tensor) -> None:
    assert torch.equal(model.features(photos, batch_size=np.int64(2)), expected)
    three = model.reconstruct(photos[:1], mask_ratio=np.float32(0.7), seed=np.int64(3))
    assert torch.equal(three.mask, model.reconstruct(photos[:1], mask_ratio=0.7, seed=3).mask)
    layers = np.array([0, -1])
    assert torch.equal(model.feature_maps(photos, layers=layers)[1], model.feature_maps(photos)[0])
    sides = np.array([64, 96])
    assert maezoo.create("mae_vit_tiny", img_size=sides[0], device="cpu").img_size == (64, 64)
    assert Preprocessing(size=tuple(sides)).to_dict()["size"] == [64, 96]
    with pytest.raises(ValueError, match=r"batch_size.*2\.5"):
        model.features(photos, batch_size=2.5)  # type: ignore[arg-type]
    with pytest.raises(MaskError, match=r"seed is a whole number.*1\.5"):
        model.reconstruct(photos, seed=1.5)  # type: ignore[arg-type]


def test_an_error_says_which_image_and_why_in_fields(model: maezoo.MAE, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    for images in ([*photos, bad], iter([*photos, bad])):
        with pytest.raises(ImageError) as raised:
            model.features(images, batch_size=2)
        assert (raised.value.index, raised.value.path) == (len(photos), str(bad))
        assert raised.value.reason == "the file is empty"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are Unix's")
def test_a_pipe_is_refused_and_not_waited_for(model, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe\.jpg cannot be read: it is a pipe") as caught:
        model.features([tmp_path / "pipe.jpg"])
    assert caught.value.path == str(tmp_path / "pipe.jpg")


def test_an_open_file_is_read_from_its_start_and_left_open_where_it_stood(photos: list[Path], tmp_path: Path) -> None:
    expected = prepare([photos[0]], SQUARE)
    data = photos[0].read_bytes()
    with (
        tempfile.SpooledTemporaryFile() as upload,
        photos[0].open("rb") as file,
        zipfile.ZipFile(tmp_path / "x.zip", "w") as archive,
    ):
        upload.write(data)
        archive.writestr("x.jpg", data)
        with archive.open("x.jpg") as member, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for source in (upload, file, member, mapped, io.BytesIO(data)):
                source.seek(7)
                for _ in range(2):
                    assert torch.equal(next(batches(source, SQUARE, 3, 1)), expected)  # type: ignore[arg-type]
                assert source.tell() == 7
                assert not source.closed


def test_a_stream_that_cannot_be_wound_is_read_once(photos: list[Path]) -> None:
    class Stream(io.RawIOBase):
        """What a socket gives."""

        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return self.data.readinto(buffer)

    stream = Stream(photos[0].read_bytes())
    assert torch.equal(next(batches(stream, SQUARE, 3, 1)), prepare([photos[0]], SQUARE))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="the file is empty"):
        next(batches(stream, SQUARE, 3, 1))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")  # of a coroutine that nobody awaits
def test_files_that_give_no_bytes(tmp_path: Path) -> None:
    class Upload:
        async def read(self) -> bytes:
            return b""

    with pytest.raises(ImageError, match=r"image 0: an Upload is read asynchronously; pass `await x\.read\(\)`"):
        prepare([Upload()], SQUARE)  # type: ignore[list-item]
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff")
    with (tmp_path / "x.jpg").open() as text, pytest.raises(ImageError, match=r"gives text.*'rb'"):
        prepare([text], SQUARE)  # type: ignore[list-item]
    with (tmp_path / "y.jpg").open("wb") as writing, pytest.raises(ImageError, match="cannot be read"):
        prepare([writing], SQUARE)


@pytest.mark.parametrize(
    ("url", "how"),
    [
        ("https://example.com/a.jpg?size=1", r"pass urllib\.request\.urlopen\(url\)"),
        (Path("http://example.com/a.jpg"), r"pass urllib\.request\.urlopen\(url\)"),
        ("S3://bucket/a.jpg", "download it"),
        ("file:///a.jpg", "pass the path alone"),
        ("data:image/png;base64,iVBORw0KGgo", r"pass base64\.b64decode"),
    ],
)
def test_a_url_is_called_one_and_the_way_to_fetch_it_is_told(url: Any, how: str) -> None:
    with pytest.raises(ImageError, match=rf"URLs are not fetched; {how}") as raised:
        prepare([url], SQUARE)
    assert raised.value.index == 0
    assert raised.value.url == str(url)


def test_a_long_text_is_not_shown_in_full() -> None:
    with pytest.raises(ImageError, match=r"9,000 characters are no path.*b64decode") as raised:
        prepare(["iVBORw0KG" * 1000], SQUARE)
    assert len(str(raised.value)) < 300


def test_all_methods_take_bytes_and_open_files(model: maezoo.MAE, photos: list[Path], expected: torch.Tensor) -> None:
    data = [path.read_bytes() for path in photos]
    fast = model.optimize(engine="eager", batch_sizes=(1,))
    for images in (data, [io.BytesIO(each) for each in data], (bytearray(each) for each in data)):
        assert torch.equal(fast.features(images), expected)  # type: ignore[arg-type]
    one = io.BytesIO(data[0])
    assert torch.equal(model.encode(one), model.encode(photos[0]))
    assert torch.equal(model.feature_maps(one)[0], model.feature_maps(photos[0])[0])
    assert torch.equal(model.reconstruct(one).pixels, model.reconstruct(photos[0]).pixels)
    assert torch.equal(model.prepare(one), model.prepare(photos[0]))
    assert torch.equal(maezoo.reconstruct_all(model, one).error, maezoo.reconstruct_all(model, photos[0]).error)
