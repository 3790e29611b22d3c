"""Names from outside, checked before one becomes a path, an address or a key."""

import fnmatch
import re

from maezoo.errors import ArgumentError

__all__ = ["is_entry_name", "matches", "path_problem", "repo_problem", "short"]

_LONGEST = 200  # characters of a name

# ASCII alone: other letters may look like these, or become `/` and `..` where a file system folds them.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_+-]+)+")
_PATH_PART = re.compile(r"[A-Za-z0-9_.+=@,()-]*[A-Za-z0-9_+=)-]")
_REPO_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_WINDOWS = re.compile(r"(con|prn|aux|nul|conin|conout|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices, in any folder


def path_problem(text: str) -> str | None:
    """Say why a text cannot be a relative path below a folder of ours on every system; `None` when it can.

    Example:
        >>> path_problem("sub/model.safetensors") is None, path_problem("../model.safetensors") is None
        (True, False)
    """
    if len(text) > _LONGEST:
        return f"must have {_LONGEST} characters at most, not {len(text):,}"
    if all(_PATH_PART.fullmatch(part) and not _WINDOWS.fullmatch(part) for part in text.split("/")):
        return None
    return (
        f"cannot be {short(text)}: it must be parts of ASCII letters, digits and _ . + = @ , ( ) - joined by '/', none "
        "of them '..' or ending in a dot, and none that Windows keeps for devices (con, nul, …)"
    )


def repo_problem(text: str) -> str | None:
    """Say why a text cannot be the name of a repository of the hub; `None` when it can.

    Example:
        >>> repo_problem("zoo/tiny") is None, repo_problem("zoo/../tiny") is None
        (True, False)
    """
    parts = text.split("/")
    fine = len(parts) <= 2 and all(_REPO_PART.fullmatch(part) for part in parts)
    if fine and not any(bad in text for bad in ("..", "--")) and not text.endswith(".git"):
        return None
    return f"cannot be {short(text)}: it must be org/repo, of ASCII letters, digits and _ . - (96 at most in each)"


def is_entry_name(text: str) -> bool:
    """Tell whether a text can be `architecture.tag`."""
    return len(text) <= _LONGEST and _NAME.fullmatch(text) is not None


def short(value: object) -> str:
    """Return a value as an error shows it: a few characters of it, none of them special."""
    text = ascii(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def matches(name: str, pattern: str) -> bool:
    """Say whether a name fits a shell-style pattern.

    Raises:
        ArgumentError: the pattern is no text.

    Example:
        >>> matches("mae_vit_base", "*base")
        True
    """
    if not isinstance(pattern, str):
        raise ArgumentError(f"pattern is a text with * and ?, such as 'mae_vit_*'; got {pattern!r}.", found=pattern)
    return fnmatch.fnmatchcase(name, pattern)
