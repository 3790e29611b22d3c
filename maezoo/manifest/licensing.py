"""A weight's licence is shown when the weight is first used, and can be refused."""

import logging
import os

from maezoo.errors import LicenseError
from maezoo.files import written_whole
from maezoo.paths import state_folder

__all__ = ["acknowledge_license", "is_noncommercial"]

_logger = logging.getLogger(__name__)
ENVIRONMENT = "MAEZOO_ALLOW_NONCOMMERCIAL"
_shown: set[str] = set()


def is_noncommercial(license: str) -> bool:
    """Whether a licence's identifier is that of a non-commercial one.

    Example:
        >>> is_noncommercial("CC-BY-NC-4.0"), is_noncommercial("apache-2.0")
        (True, False)
        >>> is_noncommercial("FAIR Noncommercial Research License")
        True
    """
    words = license.lower().replace("_", "-").replace(" ", "-").split("-")
    return "nc" in words or "noncommercial" in words


def acknowledge_license(name: str, license: str, note: str | None = None) -> None:
    """Show a non-commercial licence once for each weight and user, or refuse it.

    Args:
        name: of the weight.
        license: as its card states it.
        note: what else there is to know of it.

    Raises:
        LicenseError: `MAEZOO_ALLOW_NONCOMMERCIAL=0`.
    """
    told = f"{name}: licence {license}, not for commercial use." + (f" {note}" if note else "")
    if os.environ.get(ENVIRONMENT, "").strip().lower() in ("0", "false", "no", "off"):
        raise LicenseError(
            f"{told} {ENVIRONMENT}={os.environ[ENVIRONMENT]} refuses it; unset it, or choose other weights.",
            reason=f"{ENVIRONMENT}={os.environ[ENVIRONMENT]}",
            found=license,
        )
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    if name in _shown:
        return
    _shown.add(name)
    try:
        marker = state_folder() / "licences" / f"{safe}.txt"
        if marker.exists():
            return
        with written_whole(marker) as temporary:
            temporary.write_text(told + "\n", encoding="utf-8")
    except OSError:  # a read-only home, or none: shown once for each process
        pass
    _logger.warning("%s (Shown once.)", told)
