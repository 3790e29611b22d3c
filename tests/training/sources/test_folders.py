"""Training on a folder: extraction's listing and decoder, and the same images at each step whatever cannot be read."""

import errno
import functools
import gc
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maezoo.errors import DataError
from maezoo.extraction.sources import find_items
from maezoo.images.batches import open_image
from maezoo.training import ImageSource, ListedImages, PackedImages, open_source
from maezoo.training.sources.views import Crops, draw_crops, step_generator

WHOLE = Crops(*(torch.tensor([value]) for value in (1.0, 1.0, 0.5, 0.5)), flip=torch.tensor([False]))


def gradient(mode: str = "RGB") -> Image.Image:
    """A square picture, dark above and bright below, redder to the right."""
    y, x = np.mgrid[0:64, 0:64] * 4
    return Image.fromarray(np.stack([x, y, y // 2], axis=2).astype(np.uint8)).convert(mode)


def view_of(source: ImageSource, index: int = 0) -> torch.Tensor:
    return source.views(torch.tensor([index]), WHOLE, 64)[0]


def save_turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient().save(path, exif=exif)


def save_clear(path: Path) -> None:
    picture = gradient("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((64, 64)))
    picture.save(path)


def save_deep(path: Path) -> None:
    Image.fromarray(np.asarray(gradient("L")).astype(np.uint16) * 257).save(path)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("turned.png", save_turned),
        ("clear.png", save_clear),
        ("deep.png", save_deep),
        ("deep.tif", save_deep),
        ("palette.gif", lambda path: gradient().quantize(64).save(path)),
        ("cmyk.jpg", lambda path: gradient("CMYK").save(path)),
        ("plain.ppm", lambda path: gradient().save(path)),
    ],
)
def test_a_picture_is_what_it_is_to_the_model(tmp_path: Path, name: str, save) -> None:
    save(tmp_path / name)
    expected = torch.tensor(np.array(open_image(tmp_path / name))).permute(2, 0, 1) / 255
    torch.testing.assert_close(view_of(open_source(tmp_path)), expected, atol=1e-5, rtol=0)
    data = (tmp_path / name).read_bytes()
    np.savez(tmp_path / "pack.npz", blob=np.frombuffer(data, np.uint8), offset=[0, len(data)])
    torch.testing.assert_close(PackedImages([tmp_path / "pack.npz"]).images[0] / 255, expected, atol=1e-5, rtol=0)


def test_dark_pictures_of_16_bits_are_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        Image.fromarray(np.asarray(gradient("L")).astype(np.uint16)).save(tmp_path / f"{number}.png")
    source = open_source(tmp_path)
    for _ in range(2):
        view_of(source)
    (record,) = caplog.records
    assert "--window percentiles" in record.getMessage()
    assert view_of(open_source(tmp_path, window="percentiles")).max() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_training_sees_the_images_that_extraction_sees(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (tmp_path / "far").mkdir()
    (root / ".trash").mkdir(parents=True)
    for name in ("a.jpg", "b.JFIF", "c.tga", "._a.jpg", ".trash/d.jpg", "notes.txt", "../far/e.png"):
        (root / name).touch()
    (root / "far").symlink_to(tmp_path / "far")
    (root / "circle").symlink_to(root)
    os.mkfifo(root / "pipe.jpg")
    source = open_source(root)
    assert isinstance(source, ListedImages)
    assert (
        [item.id for item in source.items]
        == [item.id for item in find_items(root)]
        == ["a.jpg", "b.JFIF", "c.tga", "far/e.png"]
    )


def test_unreadable_files_are_named_once_and_a_step_stays_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(12):
        if number % 3:
            Image.new("RGB", (40, 40), (20 * number, 0, 0)).save(tmp_path / f"{number:02}.png")
        else:
            (tmp_path / f"{number:02}.png").write_bytes(b"no picture" if number else b"")

    def step(source: ImageSource, number: int) -> torch.Tensor:
        generator = step_generator(0, number)
        order = torch.randperm(12, generator=generator)
        return source.views(order, draw_crops(12, (0.5, 1.0), (0.75, 1.33), generator), 16)

    with caplog.at_level(logging.WARNING):
        source = open_source(tmp_path)
        one, two, again = step(source, 1), step(source, 2), step(source, 1)
    names = caplog.text
    same = functools.partial(torch.testing.assert_close, rtol=0, atol=0, equal_nan=True)
    same(one, again)
    same(two, step(open_source(tmp_path, workers=1), 2))  # the first thing that a resumed run sees
    assert one.isnan().flatten(1).all(1).sum() == two.isnan().flatten(1).any(1).sum() == 4
    for number in (0, 3, 6, 9):
        assert names.count(f"{number:02}.png") == 1
    assert view_of(source, 3).isnan().all()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Pillow leaves the file to Python
@pytest.mark.skipif(sys.platform != "linux", reason="/proc gives errors to order there")
def test_an_error_that_may_pass_does_not_change_a_step(tmp_path: Path) -> None:
    """Reading one's own memory from its start is an I/O error, of a file that opens well."""
    Image.new("RGB", (40, 40)).save(tmp_path / "b.png")
    (tmp_path / "a.png").symlink_to("/proc/self/mem")
    source = open_source(tmp_path)
    with pytest.raises(OSError, match="same command") as caught:
        view_of(source)
    assert caught.value.errno == errno.EIO
    assert not source.unreadable
    del caught
    gc.collect()


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes there")
def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match="pipe or a device"):
        open_source(tmp_path / "pipe.npz")


def test_folders_and_their_broken_files(tmp_path: Path, photos: list[Path]) -> None:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for index, path in enumerate(photos):
        Image.open(path).save(folder / "deep" / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    source = open_source(folder)
    assert isinstance(source, ListedImages)
    assert len(source) == len(photos) + 1
    crops = draw_crops(len(source), (0.5, 1.0), (0.75, 1.33), step_generator(0, 0))
    views = source.views(torch.arange(len(source)), crops, 32)
    assert views.shape == (len(source), 3, 32, 32)
    assert views[0].isnan().all()
    assert 0 <= views[1:].min() < views[1:].max() <= 1
    assert list(source.unreadable) == list(source.left_out()) == [str(folder / "broken.jpg")]


def test_sources_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no image was found"):
        open_source(tmp_path)
    (tmp_path / "x.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="not a pack"):
        open_source(tmp_path / "x.npz")
    np.savez(tmp_path / "bad.npz", blob=np.zeros(3, np.uint8), offset=np.array([0, 3]))
    with pytest.raises(DataError, match="image 0 of the pack") as caught:
        open_source(tmp_path / "bad.npz")
    assert caught.value.index == 0
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.jpg").write_bytes(b"?")
    broken = open_source(tmp_path / "only")
    with pytest.raises(DataError, match="none of the 1 images"):
        broken.views(torch.tensor([0]), draw_crops(1, (1, 1), (1, 1), step_generator(0, 0)), 16)
