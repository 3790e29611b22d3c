"""A zoo of Masked Autoencoder Vision Transformers.

    import maezoo
    model = maezoo.create("mae_vit_tiny", pretrained=True)
    photos = [maezoo.sample("cat"), maezoo.sample("coffee")]
    features = model.features(photos)                              # (2, 192)
    model.reconstruct(photos, mask_ratio=0.75).save("out.png")

The public names; all else is internal.

    create                                  a model: pretrained, from a file, or with random weights
    MAE, OptimizedMAE                       what create() and MAE.optimize() return
    Reconstruction, WholeReconstruction     what MAE.reconstruct() and reconstruct_all() return
    MAEOutput                               what a training forward returns
    list_models, list_pretrained, info      what there is, and what is known of it
    fetch, verify                           files of weights
    sample                                  photographs to try things on
    Scene, Sound, Text                      inputs of other fields: bands, sounds, drawn texts
    random_mask, block_mask, grid_mask,     masks, (B, N) bool
    cell_mask,
    mask_from_noise, mask_from_pixels
    reconstruct_all                         every patch predicted while it is hidden
    extract                                 folders of images to Parquet
    export                                  a model as ONNX, torch.export or OpenVINO, checked
    search, dedup                           the nearest images and duplicates in what was extracted
    finetune, Classifier                    a classifier from labelled images
    MaezooError, ImageError                 two of the errors in maezoo.errors

    figures, evaluation, training, extraction,            packages to use by name: maezoo.figures.plot_attention
    retrieval, downstream, exporting, errors
    model, images, masks, checkpoints, manifest, hub,     the parts, for those who build their own
    engines, hardware, vocabulary, demo

Importing it puts the encoders into timm's registry. Names and packages are loaded when they are first used.

One vocabulary holds everywhere: `B` batch, `C` channels, `H W` pixels, `h w` patch grid, `N = h*w` patches, `K` visible
patches, `D` width, `P` patch side; height before width. A mask is a bool tensor (B, N), True = hidden. Visible tokens
are in raster order. The loss is the mean over hidden patches of the per-patch mean squared error.
"""

import lazy_loader

from maezoo.notebooks import import_tqdm_quietly
from maezoo.timm_bridge.hook import register_when_timm_is_imported
from maezoo.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_when_timm_is_imported()
import_tqdm_quietly()
