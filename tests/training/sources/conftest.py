"""The same pictures as files, in a list, in tar shards and in Parquet files."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from maezoo.model import find_variant
from maezoo.training import ImageSource, Recipe
from maezoo.training.sources.views import draw_crops, step_generator

SMALL = replace(find_variant("mae_vit_tiny"), img_size=32, depth=1, embed_dim=48, decoder_depth=1, decoder_dim=48)
RECIPE = Recipe(views=32, batch_size=4, optimizer="adamw", precision="float32")
BROKEN = 5


def pictures() -> dict[str, bytes]:
    """Fourteen JPEGs, the sixth of which is none."""
    files = {}
    for number in range(14):
        rough = np.random.default_rng(number).integers(0, 255, (5, 7, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(rough).resize((70, 50), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        files[f"{number:03}.jpg"] = buffer.getvalue() if number != BROKEN else b"no picture"
    return files


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def part(files: dict[str, bytes], start: int, stop: int) -> dict[str, bytes]:
    return dict(list(files.items())[start:stop])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The same pictures as a folder, a list, two shards, and Parquet in row groups of four."""
    files = pictures()
    for folder in ("folder/deep", "shards", "tables"):
        (tmp_path / folder).mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "folder" / "deep" / name).write_bytes(content)
    (tmp_path / "list.txt").write_text("".join(f"folder/deep/{name}\n" for name in files))
    for shard, (start, stop) in enumerate([(0, 8), (8, 14)]):
        write_tar(tmp_path / "shards" / f"train-{shard}.tar", part(files, start, stop))
        rows = [{"bytes": content, "path": name} for name, content in part(files, start, stop).items()]
        table = pa.table({"image": rows, "label": [0] * len(rows)})
        pq.write_table(table, tmp_path / "tables" / f"{shard}.parquet", row_group_size=4)
    return tmp_path


def views(source: ImageSource, indices: list[int] | None = None) -> torch.Tensor:
    chosen = torch.tensor(range(len(source)) if indices is None else indices)
    return source.views(chosen, draw_crops(len(chosen), (0.2, 1.0), (0.75, 1.33), step_generator(3, 1)), 32)


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
