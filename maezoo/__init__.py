"""A zoo of Masked Autoencoder Vision Transformers.

    import maezoo
    model = maezoo.create("mae_vit_tiny", pretrained=True)
    features = model.features(["cat.jpg", "dog.jpg"])              # (2, 192)
    model.reconstruct("cat.jpg", mask_ratio=0.75).save("out.png")

Importing it puts the encoders into timm's registry. The names below are loaded when they are
first used, and so are `maezoo.errors`, `maezoo.figures` and the other packages.

One vocabulary holds everywhere: `B` batch, `C` channels, `H W` pixels, `h w` patch grid, `N = h*w` patches, `K` visible
patches, `D` width, `P` patch side; height before width. A mask is a bool tensor (B, N), True = hidden. Visible tokens
are in raster order. The loss is the mean over hidden patches of the per-patch mean squared error.
"""

import lazy_loader

from maezoo.timm_bridge.hook import register_when_timm_is_imported
from maezoo.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_when_timm_is_imported()
