"""Folders of small images, a model that takes no time, and the output read back."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from timm.models import VisionTransformer

from maezoo import MAE
from maezoo.images.preprocessing import Preprocessing


@pytest.fixture
def small() -> MAE:
    """An encoder for 32 px with random weights."""
    torch.manual_seed(5)
    encoder = VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=2, num_classes=0)
    return MAE(encoder, preprocess=Preprocessing((32, 32)), name="small").eval()


@pytest.fixture(scope="session")
def _photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 pictures in four folders, of several formats and sizes."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(120):
        suffix = (".jpg", ".png", ".webp")[number % 3]
        path = root / f"class{number % 4}" / f"{number:04d}{suffix}"
        path.parent.mkdir(exist_ok=True)
        rough = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        rough.resize((40 + number % 30, 60), Image.Resampling.BICUBIC).save(path)
    return root


@pytest.fixture
def folder(_photographs: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may change."""
    return Path(shutil.copytree(_photographs, tmp_path / "pictures"))


@pytest.fixture
def damaged(folder: Path) -> Path:
    """The same with five files that are no images, each in its own way."""
    whole = (folder / "class0" / "0000.jpg").read_bytes()
    (folder / "class0" / "empty.jpg").touch()
    (folder / "class1" / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "class2" / "text.png").write_text("not an image")
    (folder / "class3" / "bomb.png").write_bytes(_bomb())
    noise = bytearray(whole)
    noise[2:40] = bytes(38)
    (folder / "class3" / "noise.jpg").write_bytes(noise)
    return folder


@pytest.fixture
def rows() -> Callable[[Path], pa.Table]:
    """Read the embeddings of an output."""
    return lambda output: pa.concat_tables([pq.read_table(path) for path in sorted(output.glob("part-*.parquet"))])


@pytest.fixture
def vectors_of(rows: Callable[[Path], pa.Table]) -> Callable[[Path], np.ndarray]:
    """Read the embeddings of an output as an array (n, D)."""
    return lambda output: np.stack(rows(output)["embedding"].to_numpy())


@pytest.fixture
def failures() -> Callable[[Path], list[dict[str, str]]]:
    """Read the errors of an output."""
    return lambda output: pq.read_table(output / "__maezoo__" / "errors.parquet").to_pylist()


def _bomb() -> bytes:
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""
    import struct
    import zlib

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")
