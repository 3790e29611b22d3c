"""OpenVINO and ONNX Runtime imported without what they would send to their makers, and write into the home folder.

Both decide while they are imported. What a user has imported already stays as the user had it.
"""

import functools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["import_onnxruntime", "import_openvino", "openvino_core"]

_lock, _one_core = threading.Lock(), threading.Lock()


def import_openvino() -> Any:
    """Return OpenVINO; without the package of its telemetry it takes a stub of its own."""
    with _lock:
        if "openvino" in sys.modules:
            return import_module("openvino")
        with _replaced(sys.modules, "openvino_telemetry", None):
            return import_module("openvino")


def openvino_core() -> Any:
    """Return the one core of this process.

    Each core gives the thread a stack for signal handlers and takes it away when it goes; where a second one came
    between, the next signal, a Ctrl-C or the end of a child, then finds no stack and ends the process.
    """
    with _one_core:
        return _make_core()


@functools.cache
def _make_core() -> Any:
    return import_openvino().Core()


def import_onnxruntime() -> Any:
    """Return ONNX Runtime without telemetry: switched off by a variable, which it reads once, and by a call."""
    with _lock:
        if "onnxruntime" in sys.modules:
            return import_module("onnxruntime")
        with _replaced(os.environ, "ORT_DISABLE_TELEMETRY", "1"):
            module = import_module("onnxruntime")
        module.disable_telemetry_events()
        return module


@contextmanager
def _replaced(place: Any, key: str, value: Any) -> Iterator[None]:
    """Put a value into a mapping for a while, then what was there before."""
    was_there, before = key in place, place.get(key)
    place[key] = value
    try:
        yield
    finally:
        if was_there:
            place[key] = before
        else:
            place.pop(key, None)
