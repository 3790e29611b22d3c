"""Inventories for intersphinx that need no network: the names of other projects in our signatures, and their pages."""

import tempfile
import zlib
from pathlib import Path

NAMES = {
    "python": (
        "https://docs.python.org/3/",
        {
            "library/pathlib.html#pathlib.Path": "py:class pathlib.Path",
            "library/collections.abc.html#collections.abc.Iterator": "py:class collections.abc.Iterator",
            "library/collections.abc.html#collections.abc.Iterable": "py:class collections.abc.Iterable",
            "library/collections.abc.html#collections.abc.Mapping": "py:class collections.abc.Mapping",
            "library/collections.abc.html#collections.abc.Sequence": "py:class collections.abc.Sequence",
            "library/collections.abc.html#collections.abc.Callable": "py:class collections.abc.Callable",
        },
    ),
    "torch": (
        "https://docs.pytorch.org/docs/stable/",
        {
            "tensors.html#torch.Tensor": "py:class torch.Tensor",
            "generated/torch.nn.Module.html#torch.nn.Module": "py:class torch.nn.Module",
            "generated/torch.Generator.html#torch.Generator": "py:class torch.Generator",
            "tensor_attributes.html#torch.dtype": "py:class torch.dtype",
            "tensor_attributes.html#torch.device": "py:class torch.device",
        },
    ),
    "numpy": (
        "https://numpy.org/doc/stable/",
        {"reference/generated/numpy.ndarray.html#numpy.ndarray": "py:class numpy.ndarray"},
    ),
    "PIL": (
        "https://pillow.readthedocs.io/en/stable/",
        {"reference/Image.html#PIL.Image.Image": "py:class PIL.Image.Image"},
    ),
    # timm's pages are not made by Sphinx and have no inventory: these names are all that there is, online too.
    "timm": (
        "https://huggingface.co/docs/timm/",
        {"reference/models#timm.create_model": "py:function timm.create_model"},
    ),
}


def mapping(*, online: bool) -> dict[str, tuple[str, tuple[str | None, ...]]]:
    """Return intersphinx's setting: for each project its address, and where its inventory is looked for, in order."""
    folder = Path(tempfile.mkdtemp(prefix="maezoo-inventories-"))
    found: dict[str, tuple[str, tuple[str | None, ...]]] = {}
    for project, (address, names) in NAMES.items():
        path = folder / f"{project}.inv"
        path.write_bytes(_inventory(project, names))
        found[project] = (address, (None, str(path)) if online and project != "timm" else (str(path),))
    return found


def _inventory(project: str, names: dict[str, str]) -> bytes:
    """Write an inventory as Sphinx reads it: four lines, then one compressed line for each name."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = []
    for page, kind_and_name in names.items():
        kind, name = kind_and_name.split()
        lines.append(f"{name} {kind} 1 {page} -\n")
    return head.encode() + zlib.compress("".join(lines).encode())
