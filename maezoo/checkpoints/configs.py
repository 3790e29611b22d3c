"""The JSON files next to a weights file, read; transformers_config.py and timm_config.py know what is in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maezoo.checkpoints.bounds import norm_epsilon
from maezoo.errors import LayoutError
from maezoo.files import parse_json

__all__ = ["CONFIG", "PREPROCESSOR", "configured_epsilon", "read_json", "reading"]

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_MOST_BYTES = 16 * 2**20


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; `None` when there is no such file.

    Raises:
        LayoutError: it is something else, or larger than a configuration can be.
    """
    if not path.is_file():
        return None
    if path.stat().st_size > _MOST_BYTES:
        size = path.stat().st_size
        message = f"{path} has {size} bytes: no configuration of a model is that large."
        raise LayoutError(message, path=path, expected=_MOST_BYTES, found=size)
    try:
        data = parse_json(path.read_text(encoding="utf-8-sig"))  # some editors put a byte order mark first
    except ValueError as error:
        raise LayoutError(f"{path} is not JSON: {error}", path=path, reason=str(error)) from error
    if not isinstance(data, dict):
        raise LayoutError(f"{path} must be a JSON object, not a {type(data).__name__}.", path=path)
    return data


def configured_epsilon(path: Path) -> float | None:
    """Return the LayerNorm epsilon that transformers' config.json next to a weights file asks for, if there is one.

    Raises:
        LayoutError: the config.json is no JSON object, or its epsilon no positive number.
    """
    epsilon = (read_json(path.parent / CONFIG) or {}).get("layer_norm_eps")
    if epsilon is None:
        return None
    try:
        return norm_epsilon(epsilon)
    except ValueError as error:
        where = path.parent / CONFIG
        raise LayoutError(f"{where}: layer_norm_eps: {error}.", path=where, found=epsilon) from error


@contextmanager
def reading(where: Path, what: str) -> Iterator[None]:
    """Turn the errors of reading foreign data into ours."""
    try:
        yield
    except LayoutError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise LayoutError(f"{where} does not say {what}: {error!r}.", path=where, reason=repr(error)) from error
