"""Which entries this version can load, and what stands in the way of the others. No torch here.

A manifest may know of weights before there is code for them. What is looked at here are the facts of the entry, so an
entry loads as soon as its architecture has a row and its layout a table.
"""

from maezoo.errors import UnsupportedWeightsError
from maezoo.manifest.entry import WeightsEntry
from maezoo.model.variants import VARIANTS
from maezoo.vocabulary import LAYOUTS

__all__ = ["obstacles", "require_loadable"]


def obstacles(entry: WeightsEntry) -> list[str]:
    """List what keeps this version from loading an entry; nothing where it loads.

    Example:
        >>> from maezoo.manifest.entries import load_manifest
        >>> obstacles(load_manifest().find("mae_vit_tiny"))
        []
    """
    found = []
    if entry.architecture not in VARIANTS:
        found.append(f"there is no architecture {entry.architecture}")
    if entry.layout not in LAYOUTS:
        found.append(f"the key layout {entry.layout!r} has no table")
    return found


def require_loadable(entry: WeightsEntry) -> None:
    """Raise what `obstacles` finds, with what helps.

    Raises:
        UnsupportedWeightsError: this version cannot load the entry; `reason` says why.
    """
    found = obstacles(entry)
    if not found:
        return
    reason = "; ".join(found)
    raise UnsupportedWeightsError(
        f"{entry.name} cannot be loaded: {reason}. Install a newer maezoo if there is one; `maezoo list` says what "
        "loads in this one.",
        reason=reason,
        found=entry.name,
        url=entry.source_url,
        command="maezoo list",
    )
