"""Key layouts: what each of our tensors is called in files of other layouts. Names only, no tensors.

Our own names are `encoder.<timm's name>` and `decoder.<name>`. Each of our tensors is one of theirs, except that
transformers splits `attn.qkv` into query, key and value, which are its thirds along the first axis, and that others
keep several class tokens in one tensor, whose first is timm's `cls_token` and whose others are its `reg_token`
(`frames.py` separates them).
"""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from maezoo.errors import LayoutError
from maezoo.vocabulary import LAYOUTS, Layout

__all__ = [
    "OurKeys",
    "canonical_key",
    "foreign_keys",
    "is_decoder",
    "is_head",
    "our_keys",
    "pixio_key",
    "recognise_layout",
]

_FAIR_DECODER = {
    "embed": "decoder_embed",
    "mask_token": "mask_token",
    "pos_embed": "decoder_pos_embed",
    "blocks": "decoder_blocks",
    "norm": "decoder_norm",
    "pred": "decoder_pred",
}
_TRANSFORMERS_BLOCK = {
    "norm1": ("layernorm_before",),
    "attn.qkv": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    "attn.proj": ("attention.output.dense",),
    "norm2": ("layernorm_after",),
    "mlp.fc1": ("intermediate.dense",),
    "mlp.fc2": ("output.dense",),
}
_TRANSFORMERS_OTHER = {
    "encoder.cls_token": "vit.embeddings.cls_token",
    "encoder.reg_token": "vit.embeddings.reg_token",
    "encoder.pos_embed": "vit.embeddings.position_embeddings",
    "encoder.patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
    "encoder.norm": "vit.layernorm",
    "encoder.head": "classifier",
    "decoder.embed": "decoder.decoder_embed",
    "decoder.mask_token": "decoder.mask_token",
    "decoder.pos_embed": "decoder.decoder_pos_embed",
    "decoder.norm": "decoder.decoder_norm",
    "decoder.pred": "decoder.decoder_pred",
}
_OUR_DECODER = {theirs: ours for ours, theirs in _FAIR_DECODER.items()}
_OUR_MODULE = {
    theirs: (ours, third) for ours, names in _TRANSFORMERS_BLOCK.items() for third, theirs in enumerate(names)
}
_OUR_OTHER = {theirs: ours for ours, theirs in _TRANSFORMERS_OTHER.items()}
_THEIR_BLOCK = re.compile(
    r"(?P<stem>vit\.encoder\.layer|decoder\.decoder_layers)\.(?P<index>\d+)\.(?P<module>.+)\.(?P<kind>weight|bias)"
)
_BLOCK = re.compile(r"(?P<part>encoder|decoder)\.blocks\.(?P<index>\d+)\.(?P<module>.+)\.(?P<kind>weight|bias)")
_HEAD_PARTS = ("head.", "fc_norm.", "attn_pool.")
_PIXIO_NORM = re.compile(r"(?:vit\.)?encoder\.layer\.(\d+)\.norm([12])\.")
_COORDINATES = re.compile(r"(?:.*\.)?(?:temporal|location)_embed_(?:enc|dec)\..*")  # Prithvi's, for dates and places
_HEADS = (*_HEAD_PARTS, *(f"encoder.{part}" for part in _HEAD_PARTS), "classifier.", "pooler.", "vit.pooler.")


def foreign_keys(key: str, layout: Layout) -> tuple[str, ...]:
    """Return what a layout calls one of our tensors.

    Args:
        key: our name, such as `"decoder.blocks.0.attn.qkv.weight"`.
        layout: the layout.

    Returns:
        One name, or three whose tensors are joined along the first axis; none where the layout has no such tensor.

    Example:
        >>> foreign_keys("encoder.blocks.3.mlp.fc1.bias", "transformers")
        ('vit.encoder.layer.3.intermediate.dense.bias',)
    """
    part, _, rest = key.partition(".")
    if layout == "maezoo":
        return (key,)
    if layout == "transformers":
        return _transformers_keys(key)
    if part == "encoder":
        return (key if layout == "prithvi" else rest,)
    if layout == "timm":
        return ()
    head, dot, tail = rest.partition(".")
    if head not in _FAIR_DECODER:
        return ()
    return (f"{'decoder.' if layout == 'prithvi' else ''}{_FAIR_DECODER[head]}{dot}{tail}",)


def _transformers_keys(key: str) -> tuple[str, ...]:
    """Return what the published files in the transformers layout call one of our tensors."""
    block = _BLOCK.fullmatch(key)
    if block:
        names = _TRANSFORMERS_BLOCK.get(block["module"], ())
        stem = "vit.encoder.layer" if block["part"] == "encoder" else "decoder.decoder_layers"
        return tuple(f"{stem}.{block['index']}.{name}.{block['kind']}" for name in names)
    if key in _TRANSFORMERS_OTHER:
        return (_TRANSFORMERS_OTHER[key],)
    module, _, kind = key.rpartition(".")
    return (f"{_TRANSFORMERS_OTHER[module]}.{kind}",) if module in _TRANSFORMERS_OTHER else ()


def canonical_key(key: str, layout: Layout) -> str:
    """Return the spelling of the published files for a key that a file may spell otherwise.

    transformers 5.24 saves the decoder's blocks as `decoder.decoder_encoder.layer.N`, a bare `ViTMAEModel` or
    `ViTModel` without the leading `vit.`, and the norms of a `PixioModel` under timm's names.

    Example:
        >>> canonical_key("decoder.decoder_encoder.layer.0.output.dense.bias", "transformers")
        'decoder.decoder_layers.0.output.dense.bias'
    """
    if layout != "transformers":
        return key
    if block := _PIXIO_NORM.match(key):
        place = "before" if block[2] == "1" else "after"
        return f"vit.encoder.layer.{block[1]}.layernorm_{place}.{key[block.end() :]}"
    if key.startswith(("embeddings.", "encoder.layer.", "layernorm.")):
        return f"vit.{key}"
    return key.replace("decoder.decoder_encoder.layer.", "decoder.decoder_layers.", 1)


def pixio_key(key: str) -> str:
    """Return what transformers' `PixioModel` calls a tensor that its `ViTMAEModel` calls `key`.

    Example:
        >>> pixio_key("vit.encoder.layer.0.layernorm_before.bias")
        'encoder.layer.0.norm1.bias'
    """
    return key.removeprefix("vit.").replace(".layernorm_before.", ".norm1.").replace(".layernorm_after.", ".norm2.")


class OurKeys(NamedTuple):
    """A file's keys in our terms.

    Attributes:
        sources: for each of our keys the file's: one, or those to join along the first axis.
        unknown: the file's keys that we have no name for.
    """

    sources: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]


def our_keys(keys: Iterable[str], layout: Layout) -> OurKeys:
    """Name a file's tensors as we do.

    Example:
        >>> our_keys(["decoder_embed.bias", "norm.bias"], "fair").sources
        {'decoder.embed.bias': ('decoder_embed.bias',), 'encoder.norm.bias': ('norm.bias',)}
    """
    found: dict[str, dict[int, str]] = {}
    unknown = []
    for key in keys:
        ours = _our_key(canonical_key(key, layout), layout)
        if ours is None:
            unknown.append(key)
        else:
            found.setdefault(ours[0], {})[ours[1]] = key
    for name, thirds in list(found.items()):
        if set(thirds) != set(range(len(foreign_keys(name, layout)))):  # a query without its key and value
            unknown += found.pop(name).values()
    return OurKeys({name: tuple(thirds[i] for i in sorted(thirds)) for name, thirds in found.items()}, tuple(unknown))


def _our_key(key: str, layout: Layout) -> tuple[str, int] | None:
    """Return our name of a file's tensor, and which of those to be joined it is."""
    if _COORDINATES.fullmatch(key):
        return None
    if layout == "maezoo" or (layout == "prithvi" and key.startswith("encoder.")):
        return (key, 0) if key.startswith(("encoder.", "decoder.")) else None
    if layout == "transformers":
        return _from_transformers(key)
    if layout == "prithvi":
        key, layout = key.removeprefix("decoder."), "fair"
    head, dot, tail = key.partition(".")
    if layout == "fair" and head in _OUR_DECODER:
        return f"decoder.{_OUR_DECODER[head]}{dot}{tail}", 0
    return f"encoder.{key}", 0


def _from_transformers(key: str) -> tuple[str, int] | None:
    """Return our name of a tensor in the transformers layout, and which third of it this is."""
    if block := _THEIR_BLOCK.fullmatch(key):
        if block["module"] not in _OUR_MODULE:
            return None
        module, third = _OUR_MODULE[block["module"]]
        part = "encoder" if block["stem"].startswith("vit") else "decoder"
        return f"{part}.blocks.{block['index']}.{module}.{block['kind']}", third
    if key in _OUR_OTHER:
        return _OUR_OTHER[key], 0
    module, _, kind = key.rpartition(".")
    return (f"{_OUR_OTHER[module]}.{kind}", 0) if module in _OUR_OTHER else None


def is_decoder(key: str, layout: Layout) -> bool:
    """Whether a file's key belongs to its decoder.

    Example:
        >>> is_decoder("mask_token", "fair"), is_decoder("norm.weight", "fair")
        (True, False)
    """
    if layout == "fair":
        return key == "mask_token" or key.startswith("decoder_")
    return layout != "timm" and key.startswith("decoder.")


def is_head(key: str) -> bool:
    """Whether a key belongs to what an autoencoder of images has no use for: a head, a pooler, a video's coordinates.

    Example:
        >>> is_head("fc_norm.weight"), is_head("norm.weight")
        (True, False)
    """
    return key.startswith(_HEADS) or _COORDINATES.fullmatch(key) is not None


def recognise_layout(keys: Collection[str]) -> Layout:
    """Tell a file's layout from its keys.

    Raises:
        LayoutError: none of them; the message shows some of the keys.

    Example:
        >>> recognise_layout(["cls_token", "patch_embed.proj.weight", "mask_token"])
        'fair'
    """
    if _any_starts(keys, ("encoder.blocks.", "encoder.patch_embed.")):
        return "prithvi" if _any_starts(keys, ("decoder.decoder_",)) else "maezoo"
    if _any_starts(keys, ("vit.embeddings.", "embeddings.", "decoder.decoder_")):
        return "transformers"
    if "patch_embed.proj.weight" in keys:
        return "fair" if _any_starts(keys, ("decoder_", "mask_token")) else "timm"
    shown = ", ".join(sorted(keys)[:5]) or "none at all"
    message = f"these keys belong to no known layout ({', '.join(LAYOUTS)}): {shown}, …"
    raise LayoutError(message, expected=LAYOUTS, found=tuple(sorted(keys)))


def _any_starts(keys: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    return any(key.startswith(prefixes) for key in keys)
