"""Paths that users write, with their `~`, and the folder where maezoo keeps what it remembers of a user."""

import os
from pathlib import Path

from maezoo.errors import ArgumentError, WeightsNotFoundError

__all__ = ["cache_folder", "state_folder", "user_path"]


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading `~` spelled out; as it is where nobody knows that home.

    Raises:
        ArgumentError: it is no path.

    Example:
        >>> user_path("~/x.jpg").name, str(user_path("~no-such-user/x.jpg"))
        ('x.jpg', '~no-such-user/x.jpg')
    """
    _check_path(path)
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises where there is no home


def state_folder() -> Path:
    """Return the folder where maezoo keeps what it remembers of this user: `HF_HOME/maezoo`.

    Raises:
        WeightsNotFoundError: this user has no home folder, and `HF_HOME` is not set. Nothing is remembered then.
    """
    from huggingface_hub import constants

    return cache_folder(os.environ.get("HF_HOME") or constants.HF_HOME) / "maezoo"


def cache_folder(folder: str | Path) -> Path:
    """Return a folder of the cache with `~` replaced.

    Raises:
        WeightsNotFoundError: this user has no home folder, as in some containers.
        ArgumentError: it is no path.
    """
    _check_path(folder)
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise WeightsNotFoundError(
            f"the cache would be {folder}, and this user has no home folder (no HOME, no entry among the system's "
            "users). Set HF_HOME to a folder of yours, or pass cache_dir.",
            path=folder,
        ) from error


def _check_path(path: object) -> None:
    """Refuse what is neither a text nor a path."""
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"a path is a text or a pathlib.Path; got {path!r}.", found=path)
