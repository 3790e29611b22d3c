"""Linear probes as safetensors files: no code is in them, and what they say is checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from maezoo.errors import ArgumentError, DataError
from maezoo.files import parse_json, written_whole

__all__ = ["ProbeFile", "check_probe_name", "read_probe", "write_probe"]

_FORMAT = "maezoo probe 1"
_ARRAYS = ("coef", "intercept", "mean", "scale")


@dataclass(frozen=True, eq=False)
class ProbeFile:
    """What a file of a probe holds; the attributes of `Probe`, its arrays by name."""

    arrays: dict[str, NDArray[np.float32]]
    classes: NDArray[Any]
    about: Mapping[str, Any]
    settings: Mapping[str, Any]


def check_probe_name(path: Path) -> Path:
    """Refuse a name of a probe that does not end in `.safetensors`.

    Raises:
        ArgumentError: it ends otherwise.
    """
    if path.suffix.lower() != ".safetensors":
        raise ArgumentError(f"{path}: a probe is a safetensors file; name it {path.stem or 'probe'}.safetensors.")
    return path


def write_probe(path: Path, probe: ProbeFile) -> None:
    """Write a probe; errors are those of `Probe.save`."""
    check_probe_name(path)
    classes = probe.classes.tolist()
    if not all(isinstance(label, str | int) for label in classes):
        raise DataError(f"labels of a probe that is saved are text or whole numbers; got {classes[0]!r}.")
    metadata = {
        "format": _FORMAT,
        "classes": json.dumps(classes),
        "about": json.dumps(dict(probe.about)),
        "settings": json.dumps(dict(probe.settings)),
    }
    with written_whole(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in probe.arrays.items()}, temporary, metadata)


def read_probe(path: Path) -> ProbeFile:
    """Read a probe; errors are those of `Probe.load`."""
    if not path.is_file():
        raise DataError.about(path, "does not exist; `maezoo eval linear … --save` writes a probe.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT or set(file.keys()) != set(_ARRAYS):
                raise DataError.about(path, "holds no probe; `maezoo eval linear … --save` writes one.")
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        classes = parse_json(metadata["classes"])
        about, settings = parse_json(metadata["about"]), parse_json(metadata["settings"])
    except DataError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError.about(path, f"cannot be read as a probe: {error}.") from error
    if not isinstance(about, dict) or not isinstance(settings, dict) or not _fits(arrays, classes):
        raise DataError.about(path, "is no probe: its coefficients, scaling and classes do not fit together.")
    return ProbeFile(arrays, np.array(classes), about, settings)


def _fits(arrays: Mapping[str, NDArray[Any]], classes: Any) -> bool:
    """Whether the arrays are finite numbers of shapes that fit, and the classes different labels of one kind."""
    coef = arrays["coef"]
    if coef.ndim != 2 or not isinstance(classes, list) or len(classes) != len(coef) or len(classes) < 2:
        return False
    K, D = coef.shape
    shapes = {"coef": (K, D), "intercept": (K,), "mean": (D,), "scale": (D,)}
    return (
        all(arrays[name].shape == shape and arrays[name].dtype == np.float32 for name, shape in shapes.items())
        and all(bool(np.isfinite(array).all()) for array in arrays.values())
        and bool((arrays["scale"] > 0).all())
        and len({type(label) for label in classes}) == 1
        and type(classes[0]) in (str, int, bool)
        and len(set(classes)) == K
    )
