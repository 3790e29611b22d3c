"""Packs: what is packed comes out again, and what is damaged costs itself or is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maezoo.errors import DataError
from maezoo.training import PackedImages, open_source, write_pack
from maezoo.training.sources.views import Crops
from tests.training.sources.conftest import BROKEN, pictures, views


def test_a_pack_holds_what_was_packed(photos: list[Path], tmp_path: Path) -> None:
    write_pack(tmp_path / "photos.npz", photos, size=112)
    source = open_source(tmp_path / "photos.npz")
    assert isinstance(source, PackedImages)
    assert source.images.shape == (len(photos), 3, 112, 112)
    whole = Crops(*(torch.tensor([value]) for value in (1.0, 1.0, 0.5, 0.5)), flip=torch.tensor([False]))
    view = source.views(torch.tensor([1]), whole, 112)
    torch.testing.assert_close(view[0], source.images[1] / 255, atol=1e-5, rtol=0)


def test_a_pack_with_a_damaged_image_loses_that_image(data: Path) -> None:
    squares = []
    for name, content in pictures().items():
        buffer = io.BytesIO()
        if name != f"{BROKEN:03}.jpg":
            Image.open(io.BytesIO(content)).resize((32, 32)).save(buffer, "PNG")
        squares.append(buffer.getvalue())
    ends = np.cumsum([0, *map(len, squares)])
    np.savez(data / "pack.npz", blob=np.frombuffer(b"".join(squares), np.uint8), offset=ends)
    source = open_source(data / "pack.npz")
    assert views(source).isnan().flatten(1).all(1).nonzero().tolist() == [[BROKEN]]
    assert list(source.left_out()) == [f"{data / 'pack.npz'}#{BROKEN}"]
    with pytest.raises(DataError, match="mixed"):
        open_source(data / "pack.npz", data / "folder")


@pytest.mark.parametrize("offset", [[0, 10**9], [-5, 10], [10, 0], [[0, 10]], [0.5, 10.0], ["a", "b"]])
def test_a_pack_that_leads_out_of_itself_is_refused(tmp_path: Path, offset: list[object]) -> None:
    np.savez(tmp_path / "pack.npz", blob=np.zeros(100, np.uint8), offset=np.array(offset))
    with pytest.raises(DataError, match="not a pack"):
        open_source(tmp_path / "pack.npz")


@pytest.mark.parametrize("keep", [0, 60, -30])
def test_a_pack_that_is_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    np.savez(tmp_path / "pack.npz", blob=np.zeros(100, np.uint8), offset=[0, 100])
    (tmp_path / "pack.npz").write_bytes((tmp_path / "pack.npz").read_bytes()[:keep])
    with pytest.raises(DataError, match="not a pack"):
        open_source(tmp_path / "pack.npz")
