"""Which entries this version can load, and what stands in the way of the others. No torch here.

A manifest may know of weights before there is code for them. What is looked at here are the facts of the entry, so an
entry loads as soon as its layout has a table and the model takes what it asks for.
"""

from importlib.util import find_spec

from maezoo.errors import UnsupportedWeightsError
from maezoo.manifest.entry import WeightsEntry
from maezoo.model.facts import PAPER
from maezoo.model.variants import VARIANTS
from maezoo.vocabulary import LAYOUTS

__all__ = ["obstacles", "require_loadable"]

# What reads pickles, and what builds a model from facts, are parts of their own: without them these stand in the way.
READS_PICKLES = find_spec("maezoo.hub.pickles") is not None
_FIXED = {
    "class_tokens": "class tokens",
    "norm_epsilon": "as LayerNorm epsilon",
    "mlp_ratio": "as MLP ratio",
    "positions": "positions",
}
FIXED_FACTS = {} if "prithvi" in LAYOUTS else _FIXED  # the layout and the model that takes facts come together
"""Facts in which the model is that of the paper, and how an error calls them."""
TAKEN = {"positions": ("sincos", "learned")}  # both are read from the file


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
    if entry.is_pickle and not READS_PICKLES:
        found.append(f"{entry.filename} is a pickle, which is not loaded as it is")
    asked = entry.facts_of_model
    for name, what in FIXED_FACTS.items():
        value = getattr(asked, name)
        if value not in (getattr(PAPER, name), *TAKEN.get(name, ())):
            found.append(f"the model does not take {value} {what}")
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
    help_ = "Install a newer maezoo when there is one; `maezoo list` says which weights load in this one."
    command = None
    if entry.is_pickle and len(found) == 1:
        command = f"maezoo convert FILE model.safetensors --like {entry.name}"
        help_ = (
            f"`maezoo download {entry.name}` fetches and verifies it, `{command}` reads its tensors and nothing else, "
            f'and create("{entry.architecture}", checkpoint="model.safetensors") loads them.'
        )
    raise UnsupportedWeightsError(
        f"{entry.name} cannot be loaded: {reason}. {help_}",
        reason=reason,
        found=entry.name,
        url=entry.source_url,
        command=command,
    )
