"""Every error that maezoo raises on purpose.

    MaezooError
    ├── UnknownModelError      (ValueError)         no such architecture, tag or variant
    ├── ManifestError          (ValueError)         the weights manifest is malformed
    ├── WeightsNotFoundError   (FileNotFoundError)  these weights have no file here or there
    ├── IntegrityError         (OSError)            a file is not the file that was published
    ├── OfflineError           (ConnectionError)    a download is needed and there is no network
    ├── LicenseError           (PermissionError)    the licence was refused by the user's settings
    ├── DiskFullError          (OSError)            no room for a file that is to be written
    ├── LayoutError            (ValueError)         missing, unexpected or wrong-shape keys
    ├── DecoderMissingError    (RuntimeError)       reconstruction asked of an encoder alone
    ├── ImageError             (ValueError)         something that cannot be read as an image
    ├── MaskError              (ValueError)         an impossible mask or ratio
    ├── SizeError              (ValueError)         height or width is no multiple of the patch side
    ├── DataError              (ValueError)         a data set that cannot be used as asked
    ├── CheckpointError        (ValueError)         a training check-point that does not fit the run
    └── MissingExtraError      (ImportError)        an optional dependency is not installed

Catch `MaezooError` for all of them, or the built-in named beside each.
Every message says what was wrong, what is allowed, and what to type instead.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "DataError",
    "DecoderMissingError",
    "DiskFullError",
    "ImageError",
    "IntegrityError",
    "LayoutError",
    "LicenseError",
    "MaezooError",
    "ManifestError",
    "MaskError",
    "MissingExtraError",
    "OfflineError",
    "SizeError",
    "UnknownModelError",
    "WeightsNotFoundError",
]


class MaezooError(Exception):
    """The base of every error that maezoo raises on purpose."""


class UnknownModelError(MaezooError, ValueError):
    """A name that is no architecture, tag or weight of the manifest."""

    @classmethod
    def for_name(cls, name: str, known: Iterable[str], what: str = "model") -> "UnknownModelError":
        """Word the error for `name`, suggesting the closest of the `known` names."""
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {', '.join(known)}."
        return cls(f"Unknown {what} {name!r}. {hint}")


class ManifestError(MaezooError, ValueError):
    """The weights manifest cannot be read or has a wrong entry."""


class WeightsNotFoundError(MaezooError, FileNotFoundError):
    """A weights file, or the repository that should hold it, does not exist."""


class IntegrityError(MaezooError, OSError):
    """A file differs in size or sha256 from the file that was published."""


class OfflineError(MaezooError, ConnectionError):
    """The weights are not in the cache and the network may not or cannot be used."""


class LicenseError(MaezooError, PermissionError):
    """The weights' licence is refused by `MAEZOO_ALLOW_NONCOMMERCIAL=0`."""


class DiskFullError(MaezooError, OSError):
    """There is no room for a file that is to be written."""


class LayoutError(MaezooError, ValueError):
    """A state dict has missing, unexpected or wrong-shape keys."""


class DecoderMissingError(MaezooError, RuntimeError):
    """A model without a decoder was asked for something only a decoder can give."""


class ImageError(MaezooError, ValueError):
    """Something cannot be read as an image; the message says which and why."""


class MaskError(MaezooError, ValueError):
    """A mask has a wrong shape, dtype or count, or a ratio lies outside [0, 1]."""


class SizeError(MaezooError, ValueError):
    """A height or width is not a positive multiple of the patch side."""


class DataError(MaezooError, ValueError):
    """A data set is empty, unreadable or not in a known format."""


class CheckpointError(MaezooError, ValueError):
    """A training check-point is damaged or belongs to another run."""


class MissingExtraError(MaezooError, ImportError):
    """An optional dependency is needed for this; the message has the install command."""

    @classmethod
    def for_extra(cls, extra: str, purpose: str) -> "MissingExtraError":
        """Word the error for the extra named `extra`, needed for `purpose`."""
        return cls(f"{purpose} needs the extra '{extra}': pip install 'maezoo[{extra}]'")
