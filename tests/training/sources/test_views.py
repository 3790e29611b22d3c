"""Which images a step shows, and which parts of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maezoo.images.cropping import open_crop
from maezoo.training import open_source
from maezoo.training.sources.views import Blocks, Crops, crop_batch, crop_box, draw_indices


@settings(max_examples=40, deadline=None)
@given(images=st.integers(1, 30), batch=st.integers(1, 16), epochs=st.integers(1, 4), seed=st.integers(0, 5))
def test_each_epoch_shows_each_image_once(images: int, batch: int, epochs: int, seed: int) -> None:
    steps = -(-images * epochs // batch)
    order = torch.cat([draw_indices(images, batch, step, seed) for step in range(steps)])
    for epoch in range(epochs):
        assert sorted(order[epoch * images : (epoch + 1) * images].tolist()) == list(range(images))


def test_crops_and_flips() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).repeat(64, 1).expand(3, -1, -1)[None]  # grows to the right

    def crop(flip: bool, left: float = 0.5, area: float = 1.0) -> torch.Tensor:
        numbers = (torch.tensor([value]) for value in (area, 1.0, left, 0.5))
        return crop_batch(ramp, Crops(*numbers, flip=torch.tensor([flip])), 64)[0, 0, 0] * 255

    torch.testing.assert_close(crop(False), ramp[0, 0, 0].float(), atol=1e-3, rtol=0)
    torch.testing.assert_close(crop(True), ramp[0, 0, 0].float().flip(0), atol=1e-3, rtol=0)
    left, right = crop(False, left=0.0, area=0.25), crop(False, left=1.0, area=0.25)
    assert left.max() <= 32
    assert right.min() >= 31


@settings(max_examples=40, deadline=None)
@given(area=st.floats(0.05, 1), aspect=st.floats(0.5, 2), left=st.floats(0, 1), top=st.floats(0, 1), flip=st.booleans())
def test_crops_stay_inside(area: float, aspect: float, left: float, top: float, flip: bool) -> None:
    """A crop of an image of one value never shows anything else, whatever its shape."""
    images = torch.full((1, 3, 40, 56), 77, dtype=torch.uint8)
    numbers = (torch.tensor([value]) for value in (area, aspect, left, top))
    view = crop_batch(images, Crops(*numbers, flip=torch.tensor([flip])), 16)
    torch.testing.assert_close(view * 255, torch.full((1, 3, 16, 16), 77.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("together", "images"), [(1, 23), (3, 23), (99, 23)])
def test_an_order_by_blocks_shows_each_image_once_and_few_blocks_at_a_time(together: int, images: int) -> None:
    blocks = Blocks(torch.arange(images) // 4, together)
    order = torch.cat([draw_indices(images, 1, step, 0, blocks) for step in range(2 * images)])
    for epoch in (order[:images], order[images:]):
        assert sorted(epoch.tolist()) == list(range(images))
        for start in range(0, images - 4 * together, 4 * together):
            assert len(set((epoch[start : start + 4] // 4).tolist())) <= 2 * together
    assert order[:images].tolist() != order[images:].tolist()


@pytest.mark.parametrize("turn", [1, 6])
def test_a_large_jpeg_is_decoded_at_the_scale_that_its_crop_allows(tmp_path: Path, turn: int) -> None:
    y, x = np.mgrid[0:640, 0:800]
    picture = Image.fromarray(np.stack([x // 4, y // 4, (x + y) // 8], axis=2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = turn
    picture.save(tmp_path / "large.jpg", quality=95, exif=exif)
    picture.save(tmp_path / "large.png", exif=exif)
    seen: list[tuple[int, int]] = []

    def box(area: float, width: int, height: int) -> tuple[float, float, float, float]:
        seen.append((width, height))
        return crop_box(area, 1.1, 0.3, 0.6, width, height)

    for area, side in ((1.0, 100), (0.1, 400), (0.01, 800)):
        crops = [open_crop(tmp_path / f"large.{end}", 64, lambda *s, a=area: box(a, *s)) for end in ("jpg", "png")]
        assert seen[1] == ((side, side * 4 // 5) if turn == 1 else (side * 4 // 5, side))
        one, other = (np.asarray(crop).astype(float) for crop in crops)
        assert np.abs(one - other).mean() < 2
        seen.clear()


def test_whole_crops_of_any_size_are_the_picture(tmp_path: Path) -> None:
    Image.new("L", (5, 3), 200).save(tmp_path / "small.png")
    whole = Crops(*(torch.tensor([value]) for value in (1.0, 9.0, 0.5, 0.5)), flip=torch.tensor([True]))
    view = open_source(tmp_path).views(torch.tensor([0]), whole, 32)
    torch.testing.assert_close(view, torch.full((1, 3, 32, 32), 200 / 255))
