"""Tensors written as safetensors files, which appear complete or not at all; the same tensors give the same bytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maezoo.files import remove_left_over, written_whole
from maezoo.paths import user_path

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["write_safetensors"]

_ABANDONED = 3600  # seconds without a change after which a temporary file counts as left over


def write_safetensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata as a safetensors file that appears complete or not at all.

    The same tensors and metadata give the same bytes.

    Args:
        path: the file to make or replace.
        tensors: named tensors on any device.
        metadata: the header's `__metadata__`, strings only.

    Raises:
        DiskFullError: no room for it.
        OSError: it cannot be written; the message names `path`.
    """
    from safetensors.torch import save_file

    path = user_path(path)
    with written_whole(path) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, dict(metadata)
        )
        _order_metadata(temporary)
    remove_left_over(path, older_than=_ABANDONED)


def _order_metadata(path: Path) -> None:
    """Sort the metadata in a header by name: safetensors writes them in another order each time."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        ordered = {**header, "__metadata__": dict(sorted(header.get("__metadata__", {}).items()))}
        text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))
