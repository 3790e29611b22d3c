"""A feature pyramid as torchvision's detectors take it."""

from collections import OrderedDict
from collections.abc import Sequence

from timm.models import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from maezoo.api.factory import create
from maezoo.api.optimized import OptimizedMAE
from maezoo.errors import ArgumentError, FrozenModelError
from maezoo.model.encoding import MaskedEncoder
from maezoo.model.pyramid import PyramidEncoder
from maezoo.vocabulary import Resampling

__all__ = ["FeaturePyramid"]


class FeaturePyramid(PyramidEncoder):
    """An encoder with ViTDet's simple feature pyramid, as a backbone for torchvision's `FasterRCNN` and `MaskRCNN`.

    The maps "0" to "3" have the strides 4, 8, 16 and 32; "pool" is every second place of the last, for the largest
    anchors. Images may have any size whose sides are multiples of 32, as torchvision's detectors make them. Patches of
    another side than 16 are resized to 16. There are no relative positions: ViTDet adds them in fine-tuning, and
    pretrained encoders have none.

    Args:
        encoder: an MAE, one of our encoders from timm, or a name for `maezoo.create`. Its parameters are shared with
            the pyramid, except a patch embedding that is resized.
        out_channels: channels of every map.
        pretrained: of a name: fill the encoder with the named weights.
        window_size: side of the attention windows in patches (ViTDet: 14), for large images; `None` for global
            attention in every block.
        global_blocks: blocks that keep global attention; the last of each quarter when `None`, as in ViTDet.

    Attributes:
        trunk: the encoder, (B, C, H, W) -> (B, D, H/16, W/16); `trunk.requires_grad_(False)` freezes it.
        out_channels: as given; torchvision reads it.

    Raises:
        ArgumentError: something else than an encoder, or an argument that is not allowed.
        LayerError: no such block.
        FrozenModelError: an optimised model.
        UnknownModelError, OfflineError, …: a name; see `maezoo.create`.

    Example:
        >>> import torch
        >>> pyramid = FeaturePyramid("mae_vit_tiny", pretrained=True)
        >>> {name: tuple(x.shape[2:]) for name, x in pyramid(torch.zeros(1, 3, 64, 96)).items()}
        {'0': (16, 24), '1': (8, 12), '2': (4, 6), '3': (2, 3), 'pool': (1, 2)}
    """

    def __init__(
        self,
        encoder: VisionTransformer | MaskedEncoder | str,
        out_channels: int = 256,
        *,
        pretrained: bool = False,
        window_size: int | None = None,
        global_blocks: Sequence[int] | None = None,
    ) -> None:
        vit, resampling = _encoder_of(encoder, pretrained)
        super().__init__(vit, out_channels, window_size=window_size, global_blocks=global_blocks, resampling=resampling)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return the maps of a batch, the finest first, and last the extra one.

        Args:
            images: (B, C, H, W), normalised; H and W multiples of 32.

        Returns:
            "0", "1", "2", "3" and "pool", each (B, out_channels, h, w).

        Raises:
            SizeError: another number of channels, or H or W that is no multiple of 32.
        """
        maps = self.maps(images)
        found = OrderedDict((str(level), x) for level, x in enumerate(maps))
        found["pool"] = F.max_pool2d(maps[-1], kernel_size=1, stride=2)
        return found


def _encoder_of(
    encoder: VisionTransformer | MaskedEncoder | str, pretrained: bool
) -> tuple[VisionTransformer, Resampling]:
    """Return the timm encoder that is meant, and how its positions are resized; timm's own way where nothing says."""
    if isinstance(encoder, str):
        built = create(encoder, pretrained=pretrained, decoder=False, device="cpu")
        built.pos_embed.requires_grad_(True)  # fixed in pretraining, trained in detection (ViTDet)
        return built.encoder, built.facts.resampling
    if pretrained:
        raise ArgumentError("pretrained=True is for a name; this encoder has weights already.", found=pretrained)
    if isinstance(encoder, OptimizedMAE):
        raise FrozenModelError("an optimised model cannot be trained; pass the model that it was made from.")
    if isinstance(encoder, MaskedEncoder):
        return encoder.encoder, encoder.facts.resampling
    if not isinstance(encoder, VisionTransformer):
        message = f"encoder is an MAE, a timm VisionTransformer or a name; got {type(encoder).__name__}."
        raise ArgumentError(message, found=type(encoder).__name__)
    return encoder, "antialias"
