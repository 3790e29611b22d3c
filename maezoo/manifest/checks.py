"""A manifest's JSON is bounded, and an entry's fields are checked, before anything is made of them."""

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maezoo.errors import ArgumentError
from maezoo.images.preprocessing import MOST_CHANNELS
from maezoo.manifest.names import path_problem, repo_problem, short
from maezoo.vocabulary import FIELDS, LAYOUTS, PARTS, POOLS, POSITIONS, RESAMPLINGS, TARGETS

__all__ = ["KNOWN", "Repeated", "entry_problem", "read_bounded_json", "value_problem"]

_LONGEST_TEXT = 20_000  # characters
_DEEPEST = 16  # objects and lists within each other
_LARGEST = 10**14  # bytes of a file, parameters of a model
_LARGEST_SIDE = 16_384  # pixels
_DIGITS = 18

_HUB = ("repo_id", "revision", "filename")
_TEXTS = ("architecture", "license", *_HUB, "package_file", "license_note", "source_url", "paper", "page", "notes")
_REQUIRED = ("architecture", "layout", "parts", "target", "preprocess", "license", "num_params")
_OBJECTS = ("metrics", "training", "facts", "sources")
_FLAGS = ("noncommercial", "gated")
KNOWN = frozenset({*_REQUIRED, *_TEXTS, *_OBJECTS, *_FLAGS, "size", "sha256", "field"})
_WORD = re.compile("[a-z][a-z0-9_-]{0,39}")
_MOST_TOKENS = 64  # class tokens


@dataclass(frozen=True)
class Repeated:
    """Stands for a JSON object that gives one key twice, so that nobody knows which of the two is meant."""

    key: str


def read_bounded_json(path: Path, largest: int) -> Any:
    """Read a JSON file of at most `largest` bytes; an object with a key that is given twice becomes `Repeated`.

    Raises:
        OSError: it cannot be read.
        ArgumentError: it is no file, too large, or no JSON.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "twice.json"
        >>> _ = path.write_text('{"a": 1, "a": 2}')
        >>> read_bounded_json(path, 100)
        Repeated(key='a')
    """
    path.stat()  # says why there is none
    if not path.is_file():
        raise ArgumentError("it is no regular file")
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ArgumentError(f"it has more than {largest:,} bytes")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_int=_whole)
    except RecursionError as error:
        raise ArgumentError("it is nested too deeply") from error


def entry_problem(name: str, fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first thing that is wrong with an entry's plain fields, as (field, problem)."""
    unknown = sorted(set(fields) - KNOWN)
    if unknown:
        return short(unknown[0]), "is not a known field"
    for field in _REQUIRED:
        if field not in fields:
            return field, "is missing"
    for field, value in fields.items():
        if problem := value_problem(value):
            return field, problem
    wrong = next(((key, problem) for key, fine, problem in _checks(name, fields) if not fine), None)
    return wrong or _name_problem(fields) or _facts_problem(fields)


def value_problem(value: object) -> str | None:
    """Say what is wrong with a JSON value whatever it means: its depth, its texts, its numbers, keys given twice.

    Example:
        >>> value_problem({"a": [1, {"b": float("nan")}]})
        'has a number that is not finite or has too many digits'
    """
    level = [value]
    for _ in range(_DEEPEST):
        for each in level:
            if isinstance(each, Repeated):
                return f"has the key {short(each.key)} twice"
            if isinstance(each, str) and not _is_plain(each):
                return f"has the text {short(each)}, which has control characters or is too long"
            if isinstance(each, float) and not math.isfinite(each):
                return "has a number that is not finite or has too many digits"
        level = [child for each in level for child in _children(each)]
        if not level:
            return None
    return f"is nested deeper than {_DEEPEST} levels"


def _checks(name: str, fields: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    """List what has to hold for an entry's fields, one by one, as (field, whether it does, what is allowed)."""
    sha256, size, bundled = fields.get("sha256"), fields.get("size"), fields.get("package_file") is not None
    return [
        *((key, fields.get(key) is None or isinstance(fields[key], str), "must be text or null") for key in _TEXTS),
        ("architecture", fields["architecture"] is not None, "must be text"),
        ("license", bool(fields["license"]), "must be text"),
        ("architecture", name.startswith(f"{fields['architecture']}."), "must be what the entry's name starts with"),
        ("layout", _is_word(fields["layout"]), f"must be the name of a layout, such as {', '.join(LAYOUTS)}"),
        ("target", fields["target"] in (*TARGETS, None), f"must be one of {', '.join(TARGETS)}, or null"),
        ("target", fields["target"] is not None or fields["parts"] == ["encoder"], "must be known of a decoder"),
        ("field", fields.get("field", "photos") in FIELDS, f"must be one of {', '.join(FIELDS)}"),
        ("parts", fields["parts"] in (["encoder"], [*PARTS], [*PARTS][::-1]), "must list encoder, and perhaps decoder"),
        ("preprocess", isinstance(fields["preprocess"], dict), "must be an object"),
        ("num_params", _is_count(fields["num_params"]), f"must be a whole number from 1 to {_LARGEST:,}"),
        ("size", size is None or _is_count(size), f"must be a number of bytes from 1 to {_LARGEST:,}, or null"),
        ("sha256", sha256 is None or _is_sha256(sha256), "must be 64 lower-case hex digits or null"),
        *((key, isinstance(fields.get(key, False), bool), "must be true or false") for key in _FLAGS),
        *((key, isinstance(fields.get(key, {}), dict), "must be an object") for key in _OBJECTS),
        ("page", fields.get("page") is None or _is_word(fields["page"]), "must be a page's name without its ending"),
        *((key, bundled or fields.get(key) is not None, "is missing (or give package_file)") for key in _HUB),
        ("package_file", not bundled or fields.get("repo_id") is None, "and repo_id exclude each other"),
    ]  # fmt: skip


def _name_problem(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with the names that become paths and addresses, and with the metrics' own fields."""
    for key, check in (
        ("repo_id", repo_problem),
        ("revision", path_problem),
        ("filename", path_problem),
        ("package_file", path_problem),
    ):
        if fields.get(key) is not None and (problem := check(fields[key])):
            return key, problem
    if any(isinstance(side, int) and side > _LARGEST_SIDE for side in _children(fields["preprocess"].get("size"))):
        return "preprocess", f"has a size of more than {_LARGEST_SIDE:,} pixels"
    for metric, value in fields.get("metrics", {}).items():
        if isinstance(value, dict) and "value" in value and "source" not in value:
            return "metrics", f"has {short(metric)} without a source"
    return None


def _facts_problem(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with what an entry asks of the model, and with its sources; null stands for not stated."""
    facts: Mapping[str, Any] = fields.get("facts", {})
    numbers = {"in_chans": (1, MOST_CHANNELS), "class_tokens": (1, _MOST_TOKENS)}
    reals = {"norm_epsilon": (0.0, 1e-2), "mlp_ratio": (0.125, 64.0)}
    words = {"positions": POSITIONS, "resampling": RESAMPLINGS, "pooling": POOLS}
    for key, value in facts.items():
        if value is None and key in {**numbers, **reals, **words}:
            continue
        if key in numbers:
            low, high = numbers[key]
            if not (_is_count(value) and low <= value <= high):
                return f"facts.{key}", f"must be a whole number from {low} to {high}, or null"
        elif key in reals:
            least, most = reals[key]
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not least < value <= most:
                return f"facts.{key}", f"must be a number above {least} and up to {most}, or null"
        elif key in words:
            if value not in words[key]:
                return f"facts.{key}", f"must be one of {', '.join(words[key])}, or null"
        else:
            return f"facts.{short(key)}", "is not a known field"
    bands, channels = fields["preprocess"].get("bands"), facts.get("in_chans")
    if isinstance(bands, list) and channels is not None and len(bands) != channels:
        return "preprocess.bands", f"has {len(bands)} names for {channels} channels"
    for key, url in fields.get("sources", {}).items():
        if not (isinstance(url, str) and url.startswith("https://")):
            return f"sources.{short(key)}", "must be an https address"
    return None


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_plain(text: str) -> bool:
    """Tell whether a text can be shown and written: no terminal's commands, no halves of characters."""
    fine = all(unicodedata.category(letter) not in ("Cc", "Cs") or letter in "\n\t" for letter in text[:_LONGEST_TEXT])
    return fine and len(text) <= _LONGEST_TEXT


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Repeated:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            return Repeated(key)
        found[key] = value
    return found


def _whole(text: str) -> float:
    """Read a whole number; one of too many digits becomes infinity, which nothing accepts."""
    return int(text) if len(text) <= _DIGITS + 1 else math.inf
