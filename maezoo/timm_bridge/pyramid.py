"""What `timm.create_model` gives for our pyramid names: maps of the strides 4, 8, 16 and 32 from a plain ViT."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from timm.models._features import feature_take_indices
from torch import Tensor, nn

from maezoo.errors import ArgumentError
from maezoo.model import Facts, Variant, build_encoder
from maezoo.model.pyramid import STRIDES, PyramidEncoder
from maezoo.model.trunk import PATCH
from maezoo.timm_bridge.encoder import build_verified, encoder_tensors, facts_of

__all__ = ["TimmPyramid", "build_timm_pyramid"]


class TimmPyramid(PyramidEncoder):
    """A pyramid with what timm asks of models that give features. `timm.create_model` makes it.

    Its arguments are those of `PyramidEncoder`.
    """

    num_classes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_features = self.head_hidden_size = self.out_channels
        self.feature_info = [
            {"num_chs": self.out_channels, "reduction": stride, "module": f"levels.{level}"}
            for level, stride in enumerate(STRIDES)
        ]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four maps of a batch (B, C, H, W), the finest first."""
        return self.maps(images)

    def forward_intermediates(
        self,
        images: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = True,
    ) -> list[Tensor]:
        """Return chosen maps, as timm's `features_only=True` calls for them.

        Args:
            images: (B, C, H, W), normalised.
            indices: places in the list of strides; an integer for the last ones, `None` for all.
            norm: changes nothing, as every map ends in a norm.
            output_fmt: `"NCHW"`.
            intermediates_only: `True`: there is nothing but maps.

        Raises:
            ArgumentError: another format, or something besides maps.
        """
        if output_fmt != "NCHW" or not intermediates_only:
            raise ArgumentError("a pyramid gives maps alone: output_fmt='NCHW', intermediates_only=True.")
        wanted, _ = feature_take_indices(len(STRIDES), indices)
        return self.maps(images, wanted)

    def prune_intermediate_layers(
        self, indices: int | list[int] | None = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take away the layers of maps that are not wanted, and return the places of those that are."""
        wanted, _ = feature_take_indices(len(STRIDES), indices)
        for level in set(range(len(STRIDES))).difference(wanted):
            self.levels[level] = nn.Identity()
        return wanted


def build_timm_pyramid(variant: Variant, pretrained: bool, **kwargs: Any) -> nn.Module:
    """Build an encoder with a pyramid as timm builds its own models.

    Args:
        variant: the encoder's architecture; its patches are resized to 16 pixels.
        pretrained: load the encoder's weights, as `build_timm_encoder` does; the layers of the pyramid are new.
        **kwargs: timm's arguments for `create_model`, and those of `PyramidEncoder`.

    Raises:
        ArgumentError: a classifier or another coarsest stride is asked for.
        UnknownModelError, WeightsNotFoundError, OfflineError, IntegrityError, LayoutError: see `build_timm_encoder`.

    Example:
        >>> import maezoo, timm
        >>> backbone = timm.create_model("mae_vit_tiny_pyramid", pretrained=True, features_only=True)
        >>> backbone.feature_info.reduction()
        [4, 8, 16, 32]
    """
    parts = (
        f"{variant.name}_pyramid",
        partial(_build, variant, facts_of(variant, kwargs.get("pretrained_cfg"))),
        pyramid_tensors,
    )
    model: nn.Module = build_verified(variant, *parts, pretrained, {"out_indices": (0, 1, 2, 3)} | kwargs)
    return model


def pyramid_tensors(tensors: dict[str, Tensor], model: TimmPyramid) -> dict[str, Tensor]:
    """Turn a file's tensors into a pyramid's: those of an encoder in any known layout, or of a pyramid as it is."""
    if any(key.startswith("trunk.") for key in tensors):
        return tensors
    trunk: Any = model.trunk
    trunk.pretrained_cfg = model.pretrained_cfg  # says how many channels the weights have
    encoder = {f"trunk.{key}": value for key, value in encoder_tensors(tensors, trunk).items()}
    return encoder | {key: value for key, value in model.state_dict().items() if key.startswith("levels.")}


def _build(
    variant: Variant,
    facts: Facts,
    *,
    out_channels: int = 256,
    window_size: int | None = None,
    global_blocks: Sequence[int] | None = None,
    img_size: int | tuple[int, int] | None = None,
    num_classes: int = 0,
    output_stride: int = 32,
    **overrides: Any,
) -> TimmPyramid:
    """Build the empty model, with positions for the grid of the weights."""
    if num_classes:
        message = f"{variant.name}_pyramid has no classifier; use {variant.name!r}, or num_classes=0."
        raise ArgumentError(message, found=num_classes, suggestions=[variant.name])
    if output_stride != STRIDES[-1]:
        message = f"the strides are {STRIDES}, and output_stride={output_stride} needs dilated convolutions."
        raise ArgumentError(message, expected=STRIDES[-1], found=output_stride)
    size = img_size or variant.img_size // variant.patch_size * PATCH
    encoder = build_encoder(variant, facts=facts, img_size=size, patch_size=PATCH, **overrides)
    return TimmPyramid(
        encoder, out_channels, window_size=window_size, global_blocks=global_blocks, resampling=facts.resampling
    )
