"""A zoo of Masked Autoencoder Vision Transformers.

    import maezoo
    model = maezoo.create("mae_vit_tiny", pretrained=True)
    features = model.features(["cat.jpg", "dog.jpg"])              # (2, 192)
    model.reconstruct("cat.jpg", mask_ratio=0.75).save("out.png")

Importing it puts the encoders into timm's registry. The names below are loaded when they are
first used, and so are `maezoo.errors`, `maezoo.figures` and the other packages.

One vocabulary holds everywhere: `B` batch, `C` channels, `H W` pixels, `h w` patch grid, `N = h*w` patches, `K` visible
patches, `D` width, `P` patch side; height before width. A mask is a bool tensor (B, N), True = hidden. Visible tokens
stand in raster order. The loss is the mean over hidden patches of the per-patch mean squared error.
"""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names
from maezoo.timm_bridge.hook import register_when_timm_is_imported
from maezoo.version import __version__

if TYPE_CHECKING:
    from maezoo import demo as demo
    from maezoo import engines as engines
    from maezoo import errors as errors
    from maezoo import evaluate as evaluate
    from maezoo import figures as figures
    from maezoo import hardware as hardware
    from maezoo import images as images
    from maezoo import masks as masks
    from maezoo import model as model
    from maezoo import preprocessing as preprocessing
    from maezoo import reconstruction as reconstruction
    from maezoo import training as training
    from maezoo import vocabulary as vocabulary
    from maezoo import weights as weights
    from maezoo.api.factory import create, fetch, info, list_models, list_pretrained, verify
    from maezoo.api.mae import MAE
    from maezoo.api.optimized import OptimizedMAE
    from maezoo.api.reconstruction import Reconstruction
    from maezoo.api.whole_image import WholeReconstruction, reconstruct_all
    from maezoo.extraction.run import extract
    from maezoo.masks.draw import block_mask, grid_mask, mask_from_noise, mask_from_pixels, random_mask
    from maezoo.model.autoencoder import MAEOutput

__all__ = [
    "MAE",
    "MAEOutput",
    "OptimizedMAE",
    "Reconstruction",
    "WholeReconstruction",
    "__version__",
    "block_mask",
    "create",
    "extract",
    "fetch",
    "grid_mask",
    "info",
    "list_models",
    "list_pretrained",
    "mask_from_noise",
    "mask_from_pixels",
    "random_mask",
    "reconstruct_all",
    "verify",
]

_HOMES = {
    "MAE": "maezoo.api.mae",
    "MAEOutput": "maezoo.model.autoencoder",
    "OptimizedMAE": "maezoo.api.optimized",
    "Reconstruction": "maezoo.api.reconstruction",
    "WholeReconstruction": "maezoo.api.whole_image",
    "block_mask": "maezoo.masks.draw",
    "create": "maezoo.api.factory",
    "extract": "maezoo.extraction.run",
    "fetch": "maezoo.api.factory",
    "grid_mask": "maezoo.masks.draw",
    "info": "maezoo.api.factory",
    "list_models": "maezoo.api.factory",
    "list_pretrained": "maezoo.api.factory",
    "mask_from_noise": "maezoo.masks.draw",
    "mask_from_pixels": "maezoo.masks.draw",
    "random_mask": "maezoo.masks.draw",
    "reconstruct_all": "maezoo.api.whole_image",
    "verify": "maezoo.api.factory",
}

_MODULES = (
    "checkpoints",
    "demo",
    "engines",
    "errors",
    "evaluation",
    "figures",
    "hardware",
    "images",
    "masks",
    "model",
    "training",
    "vocabulary",
)

__getattr__, __dir__ = lazy_names(__name__, _HOMES, _MODULES)

register_when_timm_is_imported()
