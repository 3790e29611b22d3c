"""Feature vectors in the file formats that `maezoo features` writes."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from maezoo.files import written_whole

__all__ = ["check_suffix", "write_features"]

Vectors = NDArray[Any]


def _write_npz(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    with path.open("wb") as file:
        arrays: dict[str, Any] = {"features": vectors, "images": np.array(names, dtype=np.str_)}
        arrays |= {key: np.array(value) for key, value in about.items()}
        np.savez(file, **arrays)


def _write_npy(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    with path.open("wb") as file:
        np.save(file, vectors)


def _write_safetensors(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    import json

    from safetensors.numpy import save_file

    save_file({"features": np.ascontiguousarray(vectors)}, path, {**about, "images": json.dumps(names)})


def _write_csv(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *(f"f{column}" for column in range(vectors.shape[1]))])
        writer.writerows([name, *map(repr, row)] for name, row in zip(names, vectors.tolist(), strict=True))


_WRITERS: dict[str, Callable[[Path, list[str], Vectors, Mapping[str, str]], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".safetensors": _write_safetensors,
    ".csv": _write_csv,
}


def check_suffix(path: Path) -> None:
    """Refuse a file whose suffix stands for no format, before any work is done."""
    if path.suffix not in _WRITERS:
        raise typer.BadParameter(f"{path} must end in {', '.join(_WRITERS)}.", param_hint="-o")


def write_features(path: Path, names: list[str], vectors: Vectors, about: Mapping[str, str]) -> None:
    """Write vectors (n, D) and the names of their images; the file appears whole or not at all.

    Args:
        path: the suffix decides the format; `.npy` holds the vectors alone.
        names: of the images, n of them.
        vectors: (n, D) float32.
        about: what else to record, where the format can.
    """
    with written_whole(path) as temporary:
        _WRITERS[path.suffix](temporary, names, vectors, about)
