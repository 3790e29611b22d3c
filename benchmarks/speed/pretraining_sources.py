"""The same pictures as every kind of source that pretraining reads."""

import tarfile
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from maezoo.listing import image_files
from maezoo.training import write_pack
from maezoo.training.sources.views import Crops

__all__ = ["Still", "write_sources"]

_SHARD = 1000  # images
_GROUP = 100  # rows, as the datasets library writes them


class Still:
    """A source that gives one batch, always the same: no time goes into it."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def views(self, indices: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
        return self.images

    def describe(self) -> str:
        return f"one batch of {len(self.images)} images"


def write_sources(photographs: Path, folder: Path, side: int) -> dict[str, Path]:
    """Write tar shards, Parquet and a pack of a folder's images.

    Args:
        photographs: the folder.
        folder: where to write.
        side: of the pack's images.

    Returns:
        Where each kind is, by its name.
    """
    paths = list(image_files(photographs))
    for kind in ("tar", "parquet"):
        (folder / kind).mkdir(parents=True)
    for number, start in enumerate(range(0, len(paths), _SHARD)):
        shard = list(islice(paths, start, start + _SHARD))
        with tarfile.open(folder / "tar" / f"{number:05}.tar", "w") as tar:
            for path in shard:
                tar.add(path, path.name)
        rows = [{"bytes": path.read_bytes(), "path": path.name} for path in shard]
        pq.write_table(pa.table({"image": rows}), folder / "parquet" / f"{number:05}.parquet", row_group_size=_GROUP)
    write_pack(folder / "pack.npz", paths, size=side)
    return {
        "folder": photographs,
        "tar": folder / "tar",
        "parquet": folder / "parquet",
        "pack": folder / "pack.npz",
    }
