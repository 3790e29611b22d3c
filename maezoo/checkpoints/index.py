"""The index of weights in several files: `model.safetensors.index.json`, `pytorch_model.bin.index.json`."""

from pathlib import Path

from maezoo.errors import LayoutError, WeightsNotFoundError
from maezoo.files import parse_json

__all__ = ["INDEX", "read_index", "read_names"]

INDEX = ".index.json"
_MOST_BYTES = 64 * 2**20
_MOST_FILES = 1000
_LONGEST_NAME = 255  # bytes: no file system takes more


def read_index(path: Path) -> dict[str, Path]:
    """Return the file of each tensor that an index names; only files in its folder are allowed.

    Raises:
        LayoutError: it is no index.
        WeightsNotFoundError: a file that it names is not next to it.
    """
    names = read_names(path)
    absent = sorted(name for name in set(names.values()) if not (path.parent / name).is_file())
    if absent:
        message = f"{path} names files that are not next to it: {', '.join(absent[:6])}."
        raise WeightsNotFoundError(message, path=path, expected=tuple(absent))
    return {key: path.parent / name for key, name in names.items()}


def read_names(path: Path) -> dict[str, str]:
    """Return the name of the file of each tensor that an index names, whether it is here or not.

    Raises:
        LayoutError: it is no index, too large for one, or names a file of another folder.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise LayoutError(f"{path} is larger than an index of weights can be.", path=path, expected=_MOST_BYTES)
    try:
        homes = parse_json(path.read_text(encoding="utf-8"))["weight_map"]
        plain = {str(key): Path(name).name for key, name in homes.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} is no index of weights: it has no weight_map from names to files."
        raise LayoutError(message, path=path) from error
    for key, name in homes.items():
        long = len(name.encode("utf-8", "surrogatepass")) > _LONGEST_NAME
        if plain[key] != name or "\\" in name or name in ("", ".", "..") or long:
            shown = name[:_LONGEST_NAME]
            raise LayoutError(f"{path} names {shown!r}, which is not a file next to it.", path=path, found=name)
    if not plain:
        raise LayoutError(f"{path} is an index of no weights.", path=path)
    count = len(set(plain.values()))
    if count > _MOST_FILES:
        message = f"{path} names {count:,} files; weights have at most {_MOST_FILES:,}."
        raise LayoutError(message, path=path, expected=_MOST_FILES, found=count)
    return plain
