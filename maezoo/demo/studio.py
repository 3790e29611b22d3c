"""What the page shows, computed: no page in here, so that it can be tested, and used, without one."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from maezoo.api import MAE
from maezoo.errors import ImageError, MissingExtraError
from maezoo.factory import create
from maezoo.figures.attention import class_attention
from maezoo.figures.similarity import patch_similarity
from maezoo.images import ImageLike, open_image
from maezoo.masks import draw_mask
from maezoo.reconstruction import Reconstruction
from maezoo.vocabulary import Strategy
from maezoo.weights.manifest import load_manifest

__all__ = ["DEFAULT_MODEL", "Request", "Studio", "View", "colour_map", "read_photo", "sample_photos"]

DEFAULT_MODEL = "mae_vit_tiny.photos_pixel"
_LARGEST_SIDE = 1024  # pixels of a photo that are kept in memory
_KEPT_MODELS = 2
_SEEN_GREY = 217  # patches that the model saw, in the error map


@dataclass(frozen=True)
class Request:
    """One state of the page.

    Attributes:
        photo: what is looked at.
        model: name of the weights.
        ratio: share of patches to hide.
        strategy: how to choose them.
        seed: of the choice.
        painted: hidden patches by their raster index, instead of a draw.
        patch: (row, column) whose likes are shown; the middle when `None`.
        layer: block whose attention is shown, from 0; -1 is the last.
    """

    photo: Image.Image
    model: str = DEFAULT_MODEL
    ratio: float = 0.75
    strategy: Strategy = "random"
    seed: int = 0
    painted: frozenset[int] | None = None
    patch: tuple[int, int] | None = None
    layer: int = -1


@dataclass(frozen=True)
class View:
    """What the model makes of a request; all pictures are RGB.

    Attributes:
        reconstruction: original, masked, predicted and pasted pixels, and the errors.
        error: per-patch error; patches that were seen are grey.
        attention: of the class token, the mean of the heads.
        heads: the same for each head.
        similarity: of every patch to the chosen one.
        grid: (h, w) in patches.
        patch: (row, column), the chosen one.
        hidden: raster indices of the hidden patches.
        depth: number of blocks.
        seconds: that all this took.
    """

    reconstruction: Reconstruction
    error: Image.Image
    attention: Image.Image
    heads: tuple[Image.Image, ...]
    similarity: Image.Image
    grid: tuple[int, int]
    patch: tuple[int, int]
    hidden: frozenset[int]
    depth: int
    seconds: float


class Studio:
    """Models, kept ready, and what they make of photos.

    Args:
        device: as in `maezoo.create`.

    Example:
        >>> studio = Studio("cpu")
        >>> view = studio.look(Request(photo=Image.new("RGB", (64, 48)), ratio=0.5))
        >>> view.grid, len(view.hidden), view.similarity.size
        ((12, 12), 72, (12, 12))
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = device
        self._models: OrderedDict[str, MAE] = OrderedDict()
        self._lock = threading.Lock()

    def model(self, name: str) -> MAE:
        """Return a model, created when it is first asked for; the last few are kept.

        Raises:
            MaezooError: as `maezoo.create` says.
        """
        with self._lock:
            if name not in self._models:
                self._models[name] = create(name, pretrained=True, device=self._device)
                while len(self._models) > _KEPT_MODELS:
                    self._models.popitem(last=False)
            self._models.move_to_end(name)
            return self._models[name]

    def look(self, request: Request) -> View:
        """Hide, reconstruct and inspect.

        Raises:
            MaezooError: as `maezoo.create` and `MAE.reconstruct` say.
        """
        model = self.model(request.model)
        started = time.perf_counter()
        images = model.prepare(request.photo)
        h, w = model.grid_for(images)
        reconstruction = model.reconstruct(images, mask=_mask_of(request, (h, w)))
        depth = len(model.encoder.blocks)
        (attention,) = class_attention(model, images, layers=(min(request.layer, depth - 1),))
        row, column = request.patch or (h // 2, w // 2)
        patch = min(max(row, 0), h - 1), min(max(column, 0), w - 1)
        similarity = patch_similarity(model, images, patch)[0]
        seen = ~reconstruction.mask[0].reshape(h, w)
        return View(
            reconstruction=reconstruction,
            error=colour_map(reconstruction.error[0].reshape(h, w), "magma", absent=seen),
            attention=colour_map(attention[0].mean(dim=0), "viridis"),
            heads=tuple(colour_map(head, "viridis") for head in attention[0]),
            similarity=colour_map(similarity, "viridis", limits=(-1.0, 1.0)),
            grid=(h, w),
            patch=patch,
            hidden=frozenset(reconstruction.mask[0].nonzero().flatten().tolist()),
            depth=depth,
            seconds=time.perf_counter() - started,
        )


def model_choices() -> list[str]:
    """List the weights that can reconstruct, the bundled ones first.

    Example:
        >>> model_choices()[0]
        'mae_vit_tiny.photos_pixel'
    """
    entries = [entry for entry in load_manifest().entries.values() if entry.has_decoder]
    return [entry.name for entry in sorted(entries, key=lambda entry: entry.package_file is None)]


def read_photo(image: ImageLike, name: str = "the photo") -> Image.Image:
    """Decode a photo, upright and RGB, no larger than is of use here.

    Args:
        image: a path or a picture.
        name: what errors call it: the name that the sender gave it, not where it was put.

    Raises:
        ImageError: it cannot be read; the message says why.

    Example:
        >>> read_photo(Image.new("L", (3000, 1500))).size
        (1024, 512)
    """
    try:
        photo = open_image(image, name=name)
    except ImageError as error:
        words = str(error)
        for place in (str(image), Path(image).name) if isinstance(image, str | Path) else ():
            words = words.replace(place, name)
        raise ImageError(words) from error
    photo = photo.copy()
    photo.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.BICUBIC)
    return photo


def sample_photos() -> dict[str, Path]:
    """Return the photos that come with the package, by name.

    Example:
        >>> "coffee" in sample_photos()
        True
    """
    return {path.stem: path for path in sorted((Path(__file__).parent / "samples").glob("*.jpg"))}


def colour_map(
    values: Tensor, colours: str, *, limits: tuple[float, float] | None = None, absent: Tensor | None = None
) -> Image.Image:
    """Colour an (h, w) map, one pixel for each patch.

    Args:
        values: (h, w) numbers.
        colours: name of a matplotlib colour map.
        limits: values of the darkest and the lightest colour; those of the cells that are shown when `None`.
        absent: (h, w) bool, True for cells with nothing to show: grey.

    Raises:
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> colour_map(torch.eye(3), "viridis").getpixel((0, 0))
        (253, 231, 36)
    """
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise MissingExtraError.for_extra("demo", "the demo page") from error
    values = values.detach().float().cpu()
    gone = torch.zeros_like(values, dtype=torch.bool) if absent is None else absent.cpu()
    shown = values[~gone]
    low, high = limits or ((float(shown.min()), float(shown.max())) if shown.numel() else (0.0, 1.0))
    scaled = ((values - low) / max(high - low, 1e-12)).clamp(0, 1)
    pixels = colormaps[colours](scaled.numpy(), bytes=True)[:, :, :3].copy()
    pixels[gone.numpy()] = _SEEN_GREY
    return Image.fromarray(pixels)


def _mask_of(request: Request, grid: tuple[int, int]) -> Tensor:
    """Return the mask of a request, (1, N); painted patches outside the grid are left out."""
    patches = grid[0] * grid[1]
    if request.painted is None:
        return draw_mask(request.strategy, 1, grid, request.ratio, seed=request.seed)
    mask = torch.zeros(1, patches, dtype=torch.bool, device="cpu")
    mask[0, [index for index in request.painted if index < patches]] = True
    return mask
