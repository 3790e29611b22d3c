"""The state dict in a file: which names belong to it, whatever they are prefixed with. Names only, no tensors.

A model is found by the filters of its patch embedding; what precedes their name in the file (`module.`,
`student.backbone.`, `model/`) is the prefix of a state dict. A file may hold several: a model and its moving average.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from maezoo.errors import LayoutError

__all__ = ["StateDict", "find_state_dict"]

# Put between the components of a name by torch.compile, DistributedDataParallel, FSDP and activation checkpointing.
_WRAP = r"(?:(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)"
_START = r"(?<![^./])"  # of a component
_FILTERS = re.compile(
    rf"{_START}(?:encoder\.{_WRAP}*)?patch_embed\.{_WRAP}*proj\.weight$"
    rf"|{_START}(?:vit\.{_WRAP}*)?embeddings\.{_WRAP}*patch_embeddings\.{_WRAP}*projection\.weight$"
)
_INSIDE = re.compile(rf"{_START}{_WRAP}")
_AVERAGES = frozenset({"ema", "teacher", "target", "momentum", "average", "averaged", "avg", "shadow", "swa"})
_NO_MODEL = frozenset({"optimizer", "optimizers", "optim", "grad", "grads", "exp"})
_USUAL = ("", "model", "state_dict", "model_state_dict", "model_state", "module", "net", "network", "student")


@dataclass(frozen=True)
class StateDict:
    """The names of one state dict in a file.

    Attributes:
        names: what the file calls each tensor, by its name without prefixes.
        taken: the prefix that was taken off, without the separator; empty where there is none.
        others: the other state dicts in the file, which `take` chooses.
        outside: names in the file that belong to none of them.
    """

    names: Mapping[str, str]
    taken: str = ""
    others: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


def find_state_dict(keys: Iterable[str], take: str | None = None, where: object = "the file") -> StateDict:
    """Find the state dict of a model among a file's names.

    Args:
        keys: the names in the file.
        take: which of several state dicts; `None` is the model itself before an average of it.
        where: what errors call the file.

    Returns:
        The names; all of them as they are where no model is found among them.

    Raises:
        LayoutError: there are several and it is not clear which is the model itself, or none is called `take`.

    Example:
        >>> found = find_state_dict(["ema/module.patch_embed.proj.weight", "ema/n_averaged"])
        >>> found.taken, found.names, found.outside
        ('ema/module', {'patch_embed.proj.weight': 'ema/module.patch_embed.proj.weight'}, ('ema/n_averaged',))
    """
    keys = tuple(keys)
    roots = _roots(keys)
    if not roots:
        if take is not None:
            raise LayoutError(f"{where} has no state dict called {take!r}: no model is found in it.", found=take)
        return StateDict({key: key for key in keys})
    root = _choose(roots, take, where)
    owners = {key: max((r for r in roots if key.startswith(r)), key=len, default=None) for key in keys}
    names = {_INSIDE.sub("", key.removeprefix(root)): key for key, owner in owners.items() if owner == root}
    if len(names) < sum(owner == root for owner in owners.values()):  # two would be called the same
        names = {key.removeprefix(root): key for key, owner in owners.items() if owner == root}
    outside = tuple(key for key, owner in owners.items() if owner is None)
    return StateDict(names, _shown(root), tuple(_shown(other) for other in roots if other != root), outside)


def _roots(keys: tuple[str, ...]) -> list[str]:
    """List the prefixes of the models among names."""
    roots = []
    for key in keys:
        match = _FILTERS.search(key)
        if match is None:
            continue
        root = key[: match.start()]
        inner = f"{root}encoder."
        if key.startswith(inner) and any(k.startswith((f"{inner}mask_token", f"{inner}decoder_")) for k in keys):
            root = inner  # an autoencoder of FAIR's that someone called "encoder"
        if not _words(root) & _NO_MODEL and root not in roots:
            roots.append(root)
    return roots


def _choose(roots: list[str], take: str | None, where: object) -> str:
    """Return the prefix that is meant."""
    choices = " or ".join(repr(_shown(root)) for root in roots)
    if take is not None:
        found = [root for root in roots if _shown(root) == take] or [root for root in roots if take in _parts(root)]
        if len(found) == 1:
            return found[0]
        message = f"{where} has {'several' if found else 'no'} state dicts called {take!r}; it has {choices}."
        raise LayoutError(message, found=take, suggestions=map(_shown, roots))
    plain = [root for root in roots if not _words(root) & _AVERAGES] or roots
    usual = {name: place for place, name in enumerate(_USUAL)}
    ranked = sorted(plain, key=lambda root: usual.get((_parts(root) or [""])[0], len(_USUAL)))
    ranks = [usual.get((_parts(root) or [""])[0], len(_USUAL)) for root in ranked]
    if len(ranked) > 1 and ranks[0] == ranks[1]:
        message = f"{where} holds several models: {choices}. Say which: `maezoo convert … --take NAME`."
        raise LayoutError(message, suggestions=map(_shown, roots), command="maezoo convert … --take NAME")
    return ranked[0]


def _shown(root: str) -> str:
    return root.rstrip("./")


def _parts(root: str) -> list[str]:
    return [part for part in re.split(r"[./]", root) if part]


def _words(root: str) -> set[str]:
    return {word.lower() for part in _parts(root) for word in part.split("_")}
