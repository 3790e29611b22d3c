"""One safetensors file, which safetensors checks and maps; the bytes of its tensors can be copied, too.

A file that its user may change is read into memory by us and not by `get_tensor`, which would keep the mapped pages in
memory next to the copy, and one by one, so that a checkpoint of any size needs no second copy of itself. (safetensors
has a back-end that does so, `safe_open(…, backend="pread")`, but not at the lowest version that maezoo runs with.)
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maezoo.errors import IntegrityError

__all__ = ["Shard"]


@dataclass(frozen=True)
class Shard:
    """One open safetensors file.

    Attributes:
        path: of the file.
        handle: safetensors' own, open.
    """

    path: Path
    handle: Any

    @functools.cached_property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """Where each tensor is in the file: its first byte, and how many; safetensors has checked them."""
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
        return {
            key: (8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
            for key, entry in entries.items()
            if key != "__metadata__"
        }

    def slice(self, name: str) -> Any:
        """Return safetensors' view of a tensor, which knows its shape and dtype; nothing is read."""
        return self.handle.get_slice(name)

    def copy_into(self, room: memoryview, name: str) -> None:
        """Copy the bytes of a tensor.

        Args:
            room: as many bytes as the tensor has.
            name: of the tensor, as the file has it.

        Raises:
            IntegrityError: the file became shorter meanwhile.
        """
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.spans[name][0])
            while room:
                read = file.readinto(room)  # one read may give less than was asked for
                if not read:
                    raise IntegrityError(f"{self.path} ended while it was read.", path=self.path)
                room = room[read:]
