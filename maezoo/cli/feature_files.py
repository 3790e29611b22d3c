"""Feature vectors in the file formats that `maezoo features` writes."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import typer
from numpy.typing import NDArray

from maezoo.files import is_stream, written_whole

__all__ = ["check_suffix", "feature_file"]

Vectors = NDArray[Any]
Add = Callable[[list[str], Vectors], None]


@contextmanager
def feature_file(path: Path, width: int, about: Mapping[str, str]) -> Iterator[Add]:
    """Give a function that adds names and their vectors (n, `width`); the file appears when the block succeeds.

    Args:
        path: the suffix decides the format; `.npy` holds the vectors alone. A pipe without one gets CSV.
        width: of a vector.
        about: what else to record, where the format can.

    Raises:
        OSError: it cannot be written, which is known before the first vector.
    """
    with written_whole(path) as temporary:
        if _format(path) == ".csv":
            with temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
                writer = csv.writer(file)
                writer.writerow(["image", *(f"f{column}" for column in range(width))])
                yield lambda names, vectors: _add_rows(writer, names, vectors)
            return
        names: list[str] = []
        parts: list[Vectors] = [np.empty((0, width), np.float32)]

        def add(more: list[str], vectors: Vectors) -> None:
            names.extend(more)
            parts.append(vectors)

        yield add
        _WRITERS[_format(path)](temporary, names, np.concatenate(parts), {k: _utf8(v) for k, v in about.items()})


def _add_rows(writer: Any, names: list[str], vectors: Vectors) -> None:
    writer.writerows([name, *map(repr, row)] for name, row in zip(names, vectors.tolist(), strict=True))


def _write_npz(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    with path.open("wb") as file:
        arrays: dict[str, Any] = {"features": vectors, "images": np.array(names, dtype=np.str_)}
        arrays |= {key: np.array(value) for key, value in about.items()}
        np.savez(file, **arrays)


def _write_npy(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    with path.open("wb") as file:
        plain = SimpleNamespace(write=file.write)  # to a file as such NumPy writes without saying what went wrong
        np.save(cast(Any, plain), vectors)


def _write_safetensors(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    from safetensors.numpy import save_file

    save_file({"features": np.ascontiguousarray(vectors)}, path, {**about, "images": json.dumps(names)})


_WRITERS: dict[str, Callable[[Path, list[str], Vectors, Mapping[str, str]], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".safetensors": _write_safetensors,
}
_FORMATS = (*_WRITERS, ".csv")


def check_suffix(path: Path) -> None:
    """Refuse a file whose suffix stands for no format, before any work is done."""
    if _format(path) not in _FORMATS:
        raise typer.BadParameter(f"{path} must end in {', '.join(_FORMATS)}.", param_hint="-o")


def _format(path: Path) -> str:
    """Return the suffix that stands for the format of a file."""
    return path.suffix.lower() or (".csv" if is_stream(path) else "")


def _utf8(text: str) -> str:
    """Escape what UTF-8 cannot hold: halves of surrogate pairs, as in names of files that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
