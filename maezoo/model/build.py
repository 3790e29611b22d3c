"""Build encoder and decoder from a variant's numbers: initialised as in the paper, or empty for a file to fill."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from timm.layers import LayerNorm
from timm.models import VisionTransformer
from torch import nn
from torch.overrides import TorchFunctionMode

from maezoo.model.autoencoder import MaskedAutoencoder
from maezoo.model.decoder import Decoder
from maezoo.model.facts import Facts
from maezoo.model.patches import grid_of
from maezoo.model.positions import first_frame_positions, sincos_positions
from maezoo.model.variants import Variant
from maezoo.vocabulary import Positions, Target

__all__ = ["build_decoder", "build_encoder", "build_mae", "empty_weights", "initialise", "parameter_count"]


def build_encoder(
    variant: Variant, *, facts: Facts | None = None, init: bool = True, **overrides: Any
) -> VisionTransformer:
    """Build the encoder of a variant: a plain timm `VisionTransformer` whose positions start as 2-D sin-cos.

    Args:
        variant: the numbers.
        facts: of the weights; those of the architecture when `None`.
        init: give the weights their starting values (paper, appendix A). `False` leaves them as allocated, for a
            file that overwrites them all or for `torch.device("meta")`.
        **overrides: timm's own arguments (`num_classes`, `in_chans`, `img_size`, `global_pool`, `drop_path_rate`, …).

    Returns:
        The encoder. With `global_pool="avg"` the trained final norm is kept, applied before the mean over patches,
        where timm alone would put a fresh norm after it.

    Example:
        >>> from maezoo.model import find_variant
        >>> build_encoder(find_variant("mae_vit_tiny")).num_features
        192
    """
    from timm import models  # timm may have been imported anew since this module was

    facts = facts or variant.facts
    arguments: dict[str, Any] = {
        "img_size": variant.img_size,
        "patch_size": variant.patch_size,
        "embed_dim": variant.embed_dim,
        "depth": variant.depth,
        "num_heads": variant.num_heads,
        "num_classes": 0,
        "fc_norm": False,
        "in_chans": facts.in_chans,
        "reg_tokens": facts.class_tokens - 1,
        "mlp_ratio": facts.mlp_ratio,
        "norm_layer": partial(LayerNorm, eps=facts.norm_epsilon),
        **overrides,
        "weight_init": "skip",
    }
    encoder: VisionTransformer = models.VisionTransformer(**arguments)
    if init:
        initialise(encoder, facts.positions)
    return encoder


def build_mae(
    variant: Variant,
    *,
    facts: Facts | None = None,
    decoder: bool = True,
    in_chans: int | None = None,
    img_size: tuple[int, int] | None = None,
    target: Target | None = "pixel",
    init: bool = True,
) -> MaskedAutoencoder:
    """Build the autoencoder of a variant.

    Args:
        variant: the numbers.
        facts: of the weights; those of the architecture when `None`.
        decoder: `False` gives the encoder alone.
        in_chans: channels of the input, and of the decoder's prediction; those of the facts when `None`.
        img_size: (H, W) of the input, multiples of the patch side; the variant's own when `None`.
        target: what the decoder predicts.
        init: see `build_encoder`.

    Raises:
        SizeError: `img_size` is not a whole number of patches.

    Example:
        >>> from maezoo.model import find_variant
        >>> build_mae(find_variant("mae_vit_tiny"), img_size=(64, 128)).grid_size
        (8, 16)
    """
    size = img_size or (variant.img_size, variant.img_size)
    grid = grid_of(size, variant.patch_size)
    facts = facts or variant.facts
    facts = facts if in_chans is None else replace(facts, in_chans=in_chans)
    encoder = build_encoder(variant, facts=facts, init=init, img_size=size, dtype=torch.float32)
    head = build_decoder(variant, grid, facts=facts, init=init) if decoder else None
    return MaskedAutoencoder(encoder, head, target=target, facts=facts)


def build_decoder(
    variant: Variant,
    grid_size: tuple[int, int],
    *,
    facts: Facts | None = None,
    in_chans: int | None = None,
    init: bool = True,
) -> Decoder:
    """Build the decoder of a variant for a patch grid (h, w); see `build_mae` for the other arguments."""
    facts = facts or variant.facts
    decoder = Decoder(
        embed_dim=variant.embed_dim,
        dim=variant.decoder_dim,
        depth=variant.decoder_depth,
        num_heads=variant.decoder_heads,
        patch_size=variant.patch_size,
        grid_size=grid_size,
        in_chans=facts.in_chans if in_chans is None else in_chans,
        facts=facts,
        dtype=torch.float32,
    )
    if init:
        initialise(decoder, facts.positions)
    return decoder


def parameter_count(module: nn.Module) -> int:
    """Count all parameters, the fixed positions included (as the published model cards do)."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def initialise(module: VisionTransformer | Decoder, positions: Positions = "sincos") -> None:
    """Give an encoder or a decoder its starting values, in place (paper, appendix A.1).

    Linear layers are xavier-uniform with zero bias, the patch embedding counts as one linear layer, tokens are
    normal(0, 0.02) and positions 2-D sin-cos; learned ones start at random, as tokens do.

    Example:
        >>> from maezoo.model import Decoder
        >>> initialise(Decoder(embed_dim=8, dim=8, depth=1, num_heads=2, patch_size=4, grid_size=(2, 2)))
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    if isinstance(module, Decoder):
        nn.init.normal_(module.mask_token, std=0.02)
        _place(module.pos_embed, module.grid_size, positions)
        return
    projection = module.patch_embed.proj
    nn.init.xavier_uniform_(projection.weight.view(projection.out_channels, -1))
    nn.init.zeros_(projection.bias)
    for token in (module.cls_token, module.reg_token):
        if token is not None:
            nn.init.normal_(token, std=0.02)
    if module.pos_embed is not None:
        _place(module.pos_embed, module.patch_embed.grid_size, positions)


def _place(parameter: nn.Parameter, grid_size: tuple[int, int], positions: Positions) -> None:
    """Give positions their starting values, in place."""
    if positions == "learned":
        nn.init.normal_(parameter, std=0.02)
        return
    make = sincos_positions if positions == "sincos" else first_frame_positions
    patches = make(grid_size, parameter.shape[2])[:, 1:]  # (1, N, D)
    parameter.zero_()
    parameter[:, -patches.shape[1] :] = patches  # prefix tokens stand in front, if positions count them


@contextmanager
def empty_weights() -> Iterator[None]:
    """Build modules on the meta device, without their initialisation.

    Example:
        >>> with empty_weights():
        ...     layer = torch.nn.Linear(2, 3)
        >>> layer.weight.is_meta
        True
    """
    with torch.device("meta"), _NoDrawing():
        yield


class _NoDrawing(TorchFunctionMode):
    """Leaves out what fills tensors with random numbers: on the meta device that does nothing, but slowly."""

    _LEFT_OUT = frozenset({torch.Tensor.uniform_, torch.Tensor.normal_, torch.nn.init.trunc_normal_})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._LEFT_OUT:
            return args[0]
        return func(*args, **(kwargs or {}))
