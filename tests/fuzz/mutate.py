"""Small changes to bytes: of bits, of parts, and of the values of JSON wherever it stands in them."""

import json
import random
from typing import Any

__all__ = ["mutated"]

_EVIL: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 16, 255, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, 1e308, -0.0, float("nan"),
    float("inf"), "", " ", "a", "\0", "../x", "/etc/passwd", "\ud800", "\u202e", "x" * 5000, "1", "nan", "-1",
    [], [[]], [0], [1, 2], [None], ["a", "a"], [224, 224], [1e9, 1e9], {}, {"": None}, {"a": {"a": {}}}, {"0": "x"},
)  # fmt: skip
_BYTES = (b"\0", b"\xff", b"\n", b'"', b",", b"{", b"}", b"[", b"]", b"\x7f\xff\xff\xff", b"\0\0\0\0\0\0\0\x80", b"-1")


def mutated(data: bytes, draw: random.Random, largest: int) -> bytes:
    """Return the bytes with one to four changes."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        span = _json_in(data) if draw.random() < 0.6 else None
        data = _with_other_json(data, *span, draw) if span else _with_other_bytes(data, draw)
    return data[:largest]


def _json_in(data: bytes) -> tuple[int, int] | None:
    """Return where JSON stands in the bytes: the first object that parses, from its brace on."""
    for start in (data.find(b'{"'), data.find(b"{"), data.find(b"[")):
        if start < 0:
            continue
        try:
            text = data[start:].decode("latin-1")
            return start, start + json.JSONDecoder().raw_decode(text)[1]
        except (ValueError, RecursionError):
            continue
    return None


def _with_other_json(data: bytes, start: int, stop: int, draw: random.Random) -> bytes:
    """Change one value of the JSON; the length that safetensors writes before it is kept right."""
    tree = json.loads(data[start:stop].decode("latin-1"))
    deep = draw.random() < 0.02
    new = b"[" * 100_000 if deep else json.dumps(_changed(tree, draw)).encode("latin-1", "surrogatepass")
    head = data[:start]
    if start == 8 and int.from_bytes(head, "little") >= stop - start and draw.random() < 0.95:
        head = len(new).to_bytes(8, "little")
    return head + new + data[stop:]


def _changed(tree: Any, draw: random.Random) -> Any:
    """Change one place of a tree of JSON."""
    if isinstance(tree, dict) and tree and draw.random() < 0.9:
        key = draw.choice(list(tree))
        action = draw.random()
        if action < 0.08:
            return {name: value for name, value in tree.items() if name != key}
        if action < 0.14:
            return {**tree, draw.choice(("", "x", "\0", f"{key}.", "maezoo", "__metadata__")): tree[key]}
        if action < 0.2:
            return {**tree, key: tree[draw.choice(list(tree))]}
        return {**tree, key: _changed(tree[key], draw)}
    if isinstance(tree, list) and tree and draw.random() < 0.8:
        place = draw.randrange(len(tree))
        return [*tree[:place], _changed(tree[place], draw), *tree[place + draw.choice((0, 1, 1, 1)) :]]
    if isinstance(tree, str) and tree.startswith(("{", "[")) and draw.random() < 0.9:  # JSON inside a text
        try:
            return json.dumps(_changed(json.loads(tree), draw))
        except (ValueError, RecursionError):
            pass
    if isinstance(tree, int) and not isinstance(tree, bool) and draw.random() < 0.5:
        return tree + draw.choice((-1, 1, 4, -tree - 1, tree))
    return draw.choice(_EVIL)


def _with_other_bytes(data: bytes, draw: random.Random) -> bytes:
    """Flip, cut, repeat or insert."""
    if not data:
        return draw.randbytes(8)
    start = draw.randrange(len(data))
    stop = min(len(data), start + draw.choice((1, 1, 2, 4, 8, 64, 512)))
    action = draw.randrange(7)
    if action == 0:
        flipped = bytearray(data)
        flipped[start] ^= 1 << draw.randrange(8)
        return bytes(flipped)
    if action == 1:
        return data[:start]
    if action == 2:
        return data[:start] + data[stop:]
    if action == 3:
        return data[:stop] + data[start:]
    if action == 4:
        return data[:start] + draw.choice(_BYTES) + data[start:]
    if action == 5:
        return data[:start] + draw.randbytes(stop - start) + data[stop:]
    return data[:start] + bytes(stop - start) + data[stop:]
