"""What weights ask of the model that runs them, beyond the numbers of an architecture. No torch here."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from maezoo.vocabulary import Pool, Positions, Resampling

__all__ = ["PAPER", "PIXIO", "VIDEO", "Facts", "mlp_ratio_of"]


@dataclass(frozen=True)
class Facts:
    """What weights ask of the model that runs them; the defaults are those of He et al. 2021.

    They are properties of the weights and no choices of a user: with others the same weights give other numbers.

    Attributes:
        in_chans: channels C of the input, and of the decoder's prediction.
        class_tokens: how many class tokens stand before the patches, each with its own position.
        norm_epsilon: what the norms of encoder and decoder add to a variance.
        mlp_ratio: width of a block's hidden layer, as a multiple of the block's own.
        positions: `"sincos"` (fixed, rows and columns), `"sincos3d"` (fixed, rows, columns and the first frame of
            a video) or `"learned"` (trained with the weights).
        resampling: how positions are resized to another grid: bicubic `"antialias"`, plain `"bicubic"`, bicubic with
            `"aligned"` corners, or `"leading"`, the first ones of a strip.
        pooling: what `features` gives unless it is asked for something else.
    """

    in_chans: int = 3
    class_tokens: int = 1
    norm_epsilon: float = 1e-6
    mlp_ratio: float = 4.0
    positions: Positions = "sincos"
    resampling: Resampling = "antialias"
    pooling: Pool = "cls"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON.

        Example:
            >>> Facts(in_chans=13).to_dict()["in_chans"]
            13
        """
        return asdict(self)


def mlp_ratio_of(hidden: int, width: int) -> float:
    """Return the ratio of a hidden layer's width to the block's: the one from which timm makes that width again.

    Example:
        >>> mlp_ratio_of(3072, 768), int(100 * mlp_ratio_of(29, 100))
        (4.0, 29)
    """
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


PAPER = Facts()
PIXIO = Facts(class_tokens=8, positions="learned", resampling="bicubic")  # facebookresearch/pixio, pixio.py
# Prithvi-EO's (IBM/terratorch, prithvi_mae.py), the one that filters of videos are known of
VIDEO = Facts(norm_epsilon=1e-5, positions="sincos3d", resampling="aligned")
