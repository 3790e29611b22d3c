"""Hashes of files."""

import hashlib
from pathlib import Path

__all__ = ["digest_of", "md5_of", "sha256_of"]

_CHUNK = 8 * 2**20  # bytes hashed at a time


def sha256_of(path: Path) -> str:
    """Return a file's sha256 as 64 hex digits.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> sha256_of(path)[:8]
        'e3b0c442'
    """
    return _hash(path, "sha256")


def md5_of(path: Path) -> str:
    """Return a file's md5 as 32 hex digits: FAIR publishes the first six of its files'."""
    return _hash(path, "md5")


def digest_of(path: Path, like: str) -> str:
    """Return a file's hash of the kind that `like` is: the hub names large files by sha256, small ones by git's sha1.

    Args:
        path: the file.
        like: 64 hex digits for sha256, 40 for the sha1 of a git blob.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> digest_of(path, "0" * 40)[:8]  # git hash-object
        'e69de29b'
    """
    if len(like) != 40:
        return sha256_of(path)
    return _hash(path, "sha1", b"blob %d\0" % path.stat().st_size)


def _hash(path: Path, algorithm: str, prefix: bytes = b"") -> str:
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
