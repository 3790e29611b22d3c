"""ViTDet's simple feature pyramid: maps of four strides from the one map of a plain ViT."""

from collections.abc import Sequence
from typing import Any

from timm.layers import LayerNorm2d
from timm.models import VisionTransformer
from torch import Tensor, nn

from maezoo.arguments import whole_number
from maezoo.model.trunk import Trunk
from maezoo.vocabulary import Resampling

__all__ = ["STRIDES", "PyramidEncoder"]

STRIDES = (4, 8, 16, 32)
_MOST_CHANNELS = 65_536


class PyramidEncoder(nn.Module):
    """An encoder and a simple feature pyramid (Li et al. 2022, https://arxiv.org/abs/2203.16527, §3).

    The encoder's last map, of stride 16, is brought to four strides, each from the map itself: two deconvolutions with
    a norm and a GELU between them (4), one deconvolution (8), nothing (16), a max-pooling (32). Then a 1x1 and a 3x3
    convolution, both without bias and followed by a layer norm over the channels.

    Args:
        encoder: a timm `VisionTransformer` with a class token; see `Trunk` for what is shared with it.
        out_channels: channels of every map.
        window_size: side of the attention windows in patches; `None` for global attention.
        global_blocks: blocks that keep global attention; the last of each quarter when `None`.
        resampling: how positions are resized; see `Facts`.

    Attributes:
        trunk: the encoder, (B, C, H, W) -> (B, D, H/16, W/16).
        levels: what makes each of the four maps of that one, the finest first.
        out_channels: as given.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        out_channels: int = 256,
        *,
        window_size: int | None = None,
        global_blocks: Sequence[int] | None = None,
        resampling: Resampling = "antialias",
    ) -> None:
        super().__init__()
        out_channels = whole_number(out_channels, "out_channels", 1, _MOST_CHANNELS)
        self.trunk = Trunk(encoder, window_size=window_size, global_blocks=global_blocks, resampling=resampling)
        self.out_channels = out_channels
        place = {"device": self.trunk.cls_token.device, "dtype": self.trunk.cls_token.dtype}
        self.levels = nn.ModuleList(_level(stride, self.trunk.embed_dim, out_channels, **place) for stride in STRIDES)

    def maps(self, images: Tensor, wanted: Sequence[int] = (0, 1, 2, 3)) -> list[Tensor]:
        """Return maps of the strides 4, 8, 16, 32 (or those `wanted` of them, by their place) for a batch of images.

        Args:
            images: (B, C, H, W), normalised; H and W multiples of 32.
            wanted: places in the list of strides, each from 0 to 3.

        Returns:
            One (B, out_channels, H/stride, W/stride) tensor for each of `wanted`.

        Raises:
            SizeError: another number of channels, or H or W that is no multiple of 32.
        """
        last = self.trunk(images)
        return [self.levels[level](last) for level in wanted]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute the activations of each block again in the backward pass, for less memory."""
        self.trunk.grad_checkpointing = enable

    def no_weight_decay(self) -> set[str]:
        """Return the parameters without weight decay, for timm's optimizer factory."""
        return {"trunk.pos_embed", "trunk.cls_token"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the order of the parameters for timm's layer-wise decay: embedding, blocks, then the pyramid."""
        return {
            "stem": r"^trunk\.(?:cls_token|pos_embed|patch_embed|norm_pre)",
            "blocks": [(r"^trunk\.blocks\.(\d+)", None), (r"^levels\.", (99999,))],
        }


def _level(stride: int, dim: int, out_channels: int, **place: Any) -> nn.Sequential:
    """Make the layers of one stride: (B, D, h, w) -> (B, out_channels, 16/stride * h, 16/stride * w)."""
    scaling: list[nn.Module] = []
    width = dim
    if stride <= 8:
        width = dim // 2
        scaling = [nn.ConvTranspose2d(dim, width, 2, stride=2, **place)]
    if stride == 4:
        width = dim // 4
        scaling += [LayerNorm2d(dim // 2, **place), nn.GELU(), nn.ConvTranspose2d(dim // 2, width, 2, 2, **place)]
    if stride == 32:
        scaling = [nn.MaxPool2d(2, 2)]
    return nn.Sequential(
        *scaling,
        nn.Conv2d(width, out_channels, 1, bias=False, **place),
        LayerNorm2d(out_channels, **place),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False, **place),
        LayerNorm2d(out_channels, **place),
    )
