"""Arrays in files of NumPy's own, `.npy`: mapped, not read, and never unpickled."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_npy", "load_npy"]

_MARK = b"\x93NUMPY"


def is_npy(head: bytes) -> bool:
    """Tell whether a file that begins so is a .npy file."""
    return head.startswith(_MARK)


def load_npy(source: Path | bytes) -> NDArray[Any]:
    """Open an array.

    Args:
        source: the path or the bytes.

    Raises:
        OSError, ValueError: it is damaged, or holds objects of Python.
    """
    if isinstance(source, bytes):
        found: NDArray[Any] = np.load(BytesIO(source), allow_pickle=False)
    else:
        found = np.load(source, mmap_mode="r", allow_pickle=False)
    return found
