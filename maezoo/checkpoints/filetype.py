"""What a file is that is no weights file, told from its first bytes."""

import zipfile
from pathlib import Path

__all__ = ["holds_pickle", "is_pickle_name", "name_kind"]

_START = 1024  # bytes looked at
_TAR = slice(257, 262)
_SIGNATURES = {
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"(\xb5/\xfd": "a Zstandard archive; unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"\x89HDF": "an HDF5 file (Keras), which maezoo does not read",
    b"GGUF": "a GGUF file, which maezoo does not read",
    b"\x93NUMPY": "a NumPy array, which maezoo does not read",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
}
_PICKLE_NAMES = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar")
_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def holds_pickle(path: Path) -> bool:
    """Whether a file is one that `torch.save` may have written: an archive with a pickle in it, or a bare pickle.

    Example:
        >>> holds_pickle(Path("maezoo/checkpoints/mae_vit_tiny.safetensors"))
        False
    """
    with path.open("rb") as file:
        start = file.read(_START)
    if start.startswith(b"PK"):
        return any(name.endswith("data.pkl") for name in _names_in_zip(path))
    return _begins_pickle(start)


def is_pickle_name(name: str) -> bool:
    """Tell whether a file is called as PyTorch's own files are.

    Example:
        >>> is_pickle_name("sub/checkpoint-399.pth"), is_pickle_name("model.safetensors")
        (True, False)
    """
    return name.lower().endswith(_PICKLE_NAMES)


def name_kind(path: Path) -> str | None:
    """Say what a file is that should hold weights and does not; `None` when its first bytes do not tell.

    Args:
        path: a file, a folder or anything else that has a path.

    Example:
        >>> name_kind(Path("pyproject.toml")), name_kind(Path("maezoo"))
        (None, 'a folder; name the file in it')
    """
    if path.is_dir():
        return "a folder; name the file in it"
    if not path.is_file():
        return "not a regular file"
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        return "an empty file; fetch it again"
    if start.startswith(b"version https://git-lfs.github.com/"):
        return "a Git LFS pointer and not the file that it points to; run `git lfs pull`, or download the file itself"
    if start.startswith(b"PK"):
        return _name_zip(path)
    if start[_TAR] == b"ustar":
        return "a tar archive; unpack it"
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return kind
    return "a PyTorch file" if _begins_pickle(start) else _name_text(start)


def _begins_pickle(start: bytes) -> bool:
    """Whether a file's first bytes are those of a bare pickle, which a safetensors header's length can look like."""
    is_safetensors = start[4:9] == b"\0\0\0\0{"  # the upper half of the header's length, then the header
    return start.startswith(_PICKLE) and not is_safetensors


def _name_zip(path: Path) -> str:
    """Say what a zip archive is."""
    names = _names_in_zip(path)
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch file"
    if any(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz), which maezoo does not read"
    return (
        "a zip archive that PyTorch did not write; unpack it" if names else "a zip archive that is cut off or damaged"
    )


def _names_in_zip(path: Path) -> list[str]:
    """List a zip archive; nothing where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def _name_text(start: bytes) -> str | None:
    """Say what a text is that was found in place of weights."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")):
        return "an HTML page: what was downloaded is a web page; use the file's own download link"
    if text.startswith((b"<?xml", b"<error")):
        return "an XML text, such as a server's error message; fetch the file again"
    if text.startswith(b"{"):
        return "a JSON text"
    return None
