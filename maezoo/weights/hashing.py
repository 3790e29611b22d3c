"""Hashes of files."""

import hashlib
from collections.abc import Callable
from pathlib import Path

__all__ = ["sha256_of"]

_CHUNK = 8 * 2**20


def sha256_of(path: Path, advance: Callable[[int], None] = lambda count: None) -> str:
    """Return a file's sha256 as 64 hex digits, calling `advance` with the bytes of each chunk read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> sha256_of(path)[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()
