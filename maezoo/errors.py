"""Every error that maezoo raises on purpose.

    MaezooError
    ├── ArgumentError          (ValueError)         an argument with a value that is not allowed
    ├── LayerError             (IndexError)         a block that the encoder does not have
    ├── SettingError           (ValueError)         an environment variable with a value that is not allowed
    ├── UnknownModelError      (ValueError)         no such architecture, tag or variant
    ├── ManifestError          (ValueError)         the weights manifest is malformed
    ├── WeightsNotFoundError   (FileNotFoundError)  these weights have no file on this machine or the hub
    ├── UnsupportedWeightsError (NotImplementedError) weights that the manifest knows and this version cannot load
    ├── IntegrityError         (OSError)            a file is not the file that was published
    ├── OfflineError           (ConnectionError)    a download is needed and there is no network
    ├── LicenseError           (PermissionError)    the licence was refused by the user's settings
    ├── DiskFullError          (OSError)            no room for a file that is to be written
    ├── LayoutError            (ValueError)         missing, unexpected or wrong-shape keys
    ├── DecoderMissingError    (RuntimeError)       reconstruction asked of an encoder alone
    ├── FrozenModelError       (RuntimeError)       an optimised model was to be trained or moved
    ├── EngineError            (RuntimeError)       no engine computes the right output here
    ├── ImageError             (ValueError)         something that cannot be read as an image
    ├── MaskError              (ValueError)         an impossible mask or ratio
    ├── SizeError              (ValueError)         height or width is no multiple of the patch side
    ├── DataError              (ValueError)         a data set that cannot be used as asked
    │   ├── SourceMissingError (FileNotFoundError)  nothing to read: no such source, or no image in it
    │   ├── OutputBusyError    (BlockingIOError)    another run is writing to the output
    │   ├── OtherSettingsError (ValueError)         the output was begun with other settings
    │   └── TooManyErrorsError (ValueError)         more images failed than the run allows
    ├── CheckpointError        (ValueError)         a training checkpoint that does not fit the run
    ├── DivergedError          (FloatingPointError) a training run whose numbers are no longer finite
    ├── WorkerError            (ChildProcessError)  a worker process died
    └── MissingExtraError      (ImportError)        an optional dependency is not installed

    RandomWeightsWarning       (UserWarning)        a model that was never trained is used

Catch `MaezooError` for all of them, or the built-in in brackets.
Every message says what was wrong, what is allowed, and what to type instead. The same facts are attributes of the
error (see `MaezooError`), so no program has to parse a message. All of them pickle.
"""

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maezoo.notebooks import short_traceback

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ArgumentError",
    "CheckpointError",
    "DataError",
    "DecoderMissingError",
    "DiskFullError",
    "DivergedError",
    "EngineError",
    "FrozenModelError",
    "ImageError",
    "IntegrityError",
    "LayerError",
    "LayoutError",
    "LicenseError",
    "MaezooError",
    "ManifestError",
    "MaskError",
    "MissingExtraError",
    "OfflineError",
    "OtherSettingsError",
    "OutputBusyError",
    "RandomWeightsWarning",
    "SettingError",
    "SizeError",
    "SourceMissingError",
    "TooManyErrorsError",
    "UnknownModelError",
    "UnsupportedWeightsError",
    "WeightsNotFoundError",
    "WorkerError",
]


class MaezooError(Exception):
    """The base of every error that maezoo raises on purpose.

    Every error has all of these attributes; `None` or empty where it has nothing to say.

    Args:
        message: what was wrong, what is allowed, what to type instead.
        index: which image, row or line, counted from 0.
        path: the file or folder.
        reason: why, in a few words.
        expected: what is allowed, or what should have been there.
        found: what was there instead.
        url: the address that was asked.
        suggestions: names that may have been meant, the closest first.
        command: what to type.
        extra: the optional dependency that is missing.

    Example:
        >>> try:
        ...     raise SizeError("100x100 is no size", found=(100, 100), suggestions=["96x96"])
        ... except MaezooError as error:
        ...     error.found, error.suggestions
        ((100, 100), ('96x96',))
    """

    def __init__(
        self,
        message: str = "",
        *,
        index: int | None = None,
        path: str | Path | None = None,
        reason: str | None = None,
        expected: object = None,
        found: object = None,
        url: str | None = None,
        suggestions: Iterable[str] = (),
        command: str | None = None,
        extra: str | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.path = None if path is None else str(path)
        self.reason = reason
        self.expected = expected
        self.found = found
        self.url = url
        self.suggestions = tuple(suggestions)
        self.command = command
        self.extra = extra

    @classmethod
    def about(cls, path: str | Path, reason: str) -> "Self":
        """Word the error for a file or folder: its path, then what is wrong with it.

        Example:
            >>> str(DataError.about("cats.csv", "is empty."))
            'cats.csv is empty.'
        """
        return cls(f"{path} {reason}", path=path, reason=reason)

    def _render_traceback_(self) -> list[str]:
        """Show the user's own lines in notebooks; IPython calls this."""
        return short_traceback(self)


class ArgumentError(MaezooError, ValueError):
    """An argument has a value that is not allowed."""

    @classmethod
    def for_choice(cls, argument: str, found: object, allowed: Iterable[object]) -> "ArgumentError":
        """Word the error for an argument that takes one of a few words.

        Example:
            >>> str(ArgumentError.for_choice("pool", "max", ["cls", "mean"]))
            "pool is one of 'cls', 'mean'; got 'max'."
        """
        allowed = tuple(allowed)
        message = f"{argument} is one of {', '.join(map(repr, allowed))}; got {found!r}."
        return cls(message, expected=allowed, found=found, suggestions=_closest(found, allowed))


class LayerError(MaezooError, IndexError):
    """The encoder has no such block."""


class SettingError(MaezooError, ValueError):
    """An environment variable has a value that is not allowed."""


class UnknownModelError(MaezooError, ValueError):
    """A name that is no architecture, tag or weight of the manifest."""

    @classmethod
    def for_name(cls, name: str, known: Iterable[str], what: str = "model") -> "UnknownModelError":
        """Word the error for `name`, suggesting the closest of the `known` names."""
        known = sorted(known)
        if "/" in name or "\\" in name:
            hint = f"A folder is named 'local-dir:{name}', a repository of the hub 'hf-hub:{name}'."
            return cls(f"Unknown {what} {name!r}. {hint}", found=name, expected=tuple(known))
        close = _closest(name, known)
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {', '.join(known)}."
        return cls(f"Unknown {what} {name!r}. {hint}", found=name, expected=tuple(known), suggestions=close)


class ManifestError(MaezooError, ValueError):
    """The weights manifest cannot be read or has a wrong entry."""


class WeightsNotFoundError(MaezooError, FileNotFoundError):
    """A weights file, or the repository that should hold it, does not exist."""


class UnsupportedWeightsError(MaezooError, NotImplementedError):
    """The manifest knows these weights, and this version cannot load them yet; `reason` says why."""


class IntegrityError(MaezooError, OSError):
    """A file differs in size or sha256 from the file that was published."""


class OfflineError(MaezooError, ConnectionError):
    """The weights are not in the cache and the network may not or cannot be used."""


class LicenseError(MaezooError, PermissionError):
    """The weights' licence is refused by `MAEZOO_ALLOW_NONCOMMERCIAL=0`."""


class DiskFullError(MaezooError, OSError):
    """There is no room for the file `path`; `errno` is the system's number for it."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.errno = errno.ENOSPC


class LayoutError(MaezooError, ValueError):
    """A state dict has missing, unexpected or wrong-shape keys."""


class DecoderMissingError(MaezooError, RuntimeError):
    """A model without a decoder was asked for something only a decoder can give."""


class FrozenModelError(MaezooError, RuntimeError):
    """An optimised model was to be trained, moved or converted; its engines hold weights of their own."""


class EngineError(MaezooError, RuntimeError):
    """An engine does not run here, or none of them gave the right output."""


class ImageError(MaezooError, ValueError):
    """Something cannot be read as an image; the message says which and why."""


class MaskError(MaezooError, ValueError):
    """A mask has a wrong shape, dtype or count, or a ratio lies outside [0, 1]."""


class SizeError(MaezooError, ValueError):
    """A height or width is not a positive multiple of the patch side."""


class DataError(MaezooError, ValueError):
    """A data set is empty, unreadable or not in a known format."""


class SourceMissingError(DataError, FileNotFoundError):
    """There is nothing to read: no such file or folder, or no image in it."""


class OutputBusyError(DataError, BlockingIOError):
    """Another run is writing to the output; `found` is its process, if known."""


class OtherSettingsError(DataError):
    """An output was begun with other settings; `expected` and `found` have the old and new values that differ."""


class TooManyErrorsError(DataError):
    """More images could not be read than the run allows; `expected` and `found` are the numbers."""


class CheckpointError(MaezooError, ValueError):
    """A training checkpoint is damaged or belongs to another run."""


class DivergedError(MaezooError, FloatingPointError):
    """The loss or a weight of a training run is no longer finite; `path` is the last finite checkpoint, if any."""


class WorkerError(MaezooError, ChildProcessError):
    """A worker process died, and its work with it."""


class MissingExtraError(MaezooError, ImportError):
    """An optional dependency is needed for this; the message has the install command."""

    @classmethod
    def for_extra(cls, extra: str, purpose: str) -> "MissingExtraError":
        """Word the error for the extra named `extra`, needed for `purpose`."""
        command = f"pip install 'maezoo[{extra}]'"
        return cls(f"{purpose} needs the extra '{extra}': {command}", extra=extra, command=command)


class RandomWeightsWarning(UserWarning):
    """A model with random weights is used as if it had learned something."""


def __dir__() -> list[str]:
    """List the public names alone."""
    return __all__


def _closest(name: object, known: Iterable[object]) -> list[str]:
    """Return the known names that a wrong one may have meant, whatever the case of its letters."""
    spelt = {str(each).lower(): str(each) for each in known}
    return [spelt[each] for each in difflib.get_close_matches(str(name).lower(), spelt, n=3, cutoff=0.5)]
