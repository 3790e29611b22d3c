"""PyTorch's own files, read as tensors and nothing else: no code in them runs, and nothing that they name is imported.

torch reads them (`weights_only=True`). Trainers leave their options next to the weights, in a few classes that are
known to be harmless: a stand-in that keeps nothing is made in their place. Any other name is refused.
"""

import errno
import pickle
import re
import struct
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from maezoo.errors import IntegrityError, WeightsNotFoundError

__all__ = ["load_pickle"]

_OTHER_PROTOCOL = "Unsupported operand"
_DAMAGED = (
    OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    AssertionError, struct.error,
)  # fmt: skip
"""What torch's reader raises on damaged files."""
_NAMED = re.compile(r"\bGLOBAL (\S+)")
_LOCK = threading.Lock()  # torch keeps its list of allowed names for all threads together


class _StandIn:
    """An object of a class that is not here: made of anything, and keeping nothing."""

    def __new__(cls, *_: object, **__: object) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class _Entries:
    """A dictionary of a class that is not here: torch fills plain ones only."""

    def __new__(cls, *_: object, **__: object) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


_LIGHTNING = ("pytorch_lightning", "lightning.pytorch")
_OBJECTS = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"builtins.{name}" for name in ("list", "dict", "int", "float", "str", "bool", "tuple", "frozenset", "slice")),
    *(
        f"{module}.{name}"
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    ),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"{module}.multiarray.{name}" for module in ("numpy.core", "numpy._core") for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
    "torch.torch_version.TorchVersion",
    "typing.Any",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(f"omegaconf.nodes.{name}Node" for name in ("Any", "Boolean", "Bytes", "Float", "Integer", "Path", "String")),
    *(f"{module}.callbacks.model_checkpoint.ModelCheckpoint" for module in _LIGHTNING),
    *(f"{module}.callbacks.early_stopping.EarlyStopping" for module in _LIGHTNING),
)
_DICTIONARIES = (
    "collections.defaultdict",
    *(f"{module}.utilities.parsing.AttributeDict" for module in _LIGHTNING),
    *(f"{module}.utilities.data.AttributeDict" for module in ("lightning_fabric", "lightning.fabric")),
)
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((_StandIn, name) for name in _OBJECTS),
    *((_Entries, name) for name in _DICTIONARIES),
]


def load_pickle(path: Path, *, mapped: bool = False) -> Any:
    """Read a file of PyTorch's.

    Args:
        path: the file; its contents tell its kind, not its name.
        mapped: map it, so that only the tensors that are used are read. For a file that nobody changes meanwhile.

    Returns:
        What was saved: dictionaries, lists, numbers, texts and tensors, and stand-ins for anything else.

    Raises:
        WeightsNotFoundError: no such file.
        OSError: it cannot be read now.
        IntegrityError: it is damaged, no file of PyTorch's, or names something that is not known to be harmless.
    """
    try:
        with path.open("rb") as file:  # torch takes a path's ending for its kind
            return _load(path, file, mapped)
    except FileNotFoundError as error:
        raise WeightsNotFoundError(f"there is no file {path}.", path=path) from error
    except pickle.UnpicklingError as error:
        raise _refusal(path, str(error)) from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # it cannot be read now, which says nothing of what is in it
        reason = _first_line(str(error)) or type(error).__name__
        raise IntegrityError(
            f"{path} is damaged or no file of PyTorch's: {reason}", path=path, reason=reason
        ) from error


def _load(path: Path, file: BinaryIO, mapped: bool) -> Any:
    """Have torch read an open file, with the harmless names allowed meanwhile."""
    with _LOCK, warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
        warnings.simplefilter("ignore")  # that another pickle protocol may not be understood: then it is an error
        archive = file.read(2) == b"PK"
        file.seek(0)
        if mapped and archive:
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
        return torch.load(file, map_location="cpu", weights_only=True)


def _refusal(path: Path, explanation: str) -> IntegrityError:
    """Word the error for a pickle that torch does not read, with the name that it asks for."""
    named = _NAMED.search(explanation)
    if named is None and _OTHER_PROTOCOL in explanation:
        protocol = "its pickle protocol is another than 2 and 3, the ones that PyTorch reads safely"
        return IntegrityError(
            f"{path} is refused: {protocol} (or it is no file of PyTorch's). Save it again where it was made, with "
            "torch.save(state_dict, path), whose default is protocol 2, or as safetensors: "
            "safetensors.torch.save_file(state_dict, path).",
            path=path,
            reason=protocol,
            command="torch.save(state_dict, path)",
        )
    reason = f"it names {named[1]}" if named else _first_line(explanation.rpartition("WeightsUnpickler error:")[2])
    return IntegrityError(
        f"{path} is refused: its pickle asks to run code, or holds more than tensors ({reason}). "
        f"Save its state dict alone, as safetensors.",
        path=path,
        reason=reason,
        found=named[1] if named else None,
    )


def _first_line(text: str) -> str:
    """Return an error's first line: torch explains at length how to read such files nevertheless."""
    return next(iter(text.strip().splitlines()), "").partition(". This file can still")[0]
