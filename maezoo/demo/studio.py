"""What the page shows, computed without a page, so that it can be tested and used without one."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from maezoo.api.factory import create
from maezoo.api.mae import MAE
from maezoo.api.reconstruction import Reconstruction
from maezoo.demo.colours import colour_map
from maezoo.errors import ImageError, WeightsNotFoundError
from maezoo.figures.attention import class_attention
from maezoo.figures.similarity import patch_similarity
from maezoo.hub.fetching import locate
from maezoo.images.batches import open_image
from maezoo.images.window import Scaling
from maezoo.manifest.entries import load_manifest
from maezoo.masks.strategies import draw_mask
from maezoo.vocabulary import Strategy

__all__ = [
    "DEFAULT_MODEL",
    "Request",
    "Studio",
    "View",
    "file_bytes",
    "model_choices",
    "read_photo",
    "sample_photos",
]

DEFAULT_MODEL = "mae_vit_tiny.photos_pixel"
_LARGEST_SIDE = 1024  # pixels of a photo that are kept in memory
_KEPT_MODELS = 2
_LONGEST_WAIT = 30.0  # seconds for other models that are being loaded


@dataclass(frozen=True)
class Request:
    """One state of the page.

    Attributes:
        photo: the picture, RGB.
        model: name of the weights.
        ratio: share of patches to hide.
        strategy: how to choose them.
        seed: seed of the mask.
        painted: hidden patches by their raster index, instead of a random choice.
        patch: (row, column) to which all patches are compared; the middle when `None`.
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
    """The result of a request; all pictures are RGB.

    Attributes:
        reconstruction: the result of `MAE.reconstruct`.
        error: error of each patch; visible patches are grey.
        attention: of the class token, the mean of the heads.
        heads: the same for each head.
        similarity: of every patch to the chosen one.
        grid: (h, w) in patches.
        patch: (row, column), the chosen one.
        hidden: raster indices of the hidden patches.
        depth: number of blocks.
        seconds: time that all this took.
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
    """Models, kept ready, and their results on photos.

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
        self._loading = threading.Lock()

    def model(self, name: str) -> MAE:
        """Return a model, loaded at its first use; the last few are kept. Nothing is ever downloaded.

        Raises:
            WeightsNotFoundError: its weights are not on this machine.
            TimeoutError: another model is being loaded, and that takes too long.
            MaezooError: as `maezoo.create` says.
        """
        ready = self._kept(name)
        if ready is not None:
            return ready
        if not self._loading.acquire(timeout=_LONGEST_WAIT):
            raise TimeoutError(f"another model is being loaded; ask for {name} again in a minute.")
        try:
            ready = self._kept(name)
            if ready is None:
                require_here(name)
                ready = create(name, pretrained=True, device=self._device, offline=True)
                self._keep(name, ready)
            return ready
        finally:
            self._loading.release()

    def _kept(self, name: str) -> MAE | None:
        """Return a model that is loaded, else `None`."""
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
            return self._models.get(name)

    def _keep(self, name: str, model: MAE) -> None:
        """Keep a model, and free the one that was not used for the longest time."""
        with self._lock:
            self._models[name] = model
            while len(self._models) > _KEPT_MODELS:
                self._models.popitem(last=False)

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
    """List the weights on this machine that can reconstruct, the bundled ones first.

    Example:
        >>> model_choices()[0]
        'mae_vit_tiny.photos_pixel'
    """
    entries = [entry for entry in load_manifest().entries.values() if entry.has_decoder and locate(entry) is not None]
    return [entry.name for entry in sorted(entries, key=lambda entry: entry.package_file is None)]


def require_here(name: str) -> None:
    """Refuse weights that are not on this machine: visitors choose among what the page's owner has downloaded.

    Raises:
        UnknownModelError: the manifest has no such weights; visitors cannot name folders or repositories either.
        WeightsNotFoundError: they are not here.
    """
    entry = load_manifest().find(name)
    if locate(entry) is None:
        raise WeightsNotFoundError(
            f"{entry.name} is not on the machine that serves this page. Its owner can download it: "
            f"`maezoo download {entry.name}`, or `maezoo demo --model {entry.name}`."
        )


def read_photo(
    image: str | Path | bytes | Image.Image, name: str = "the photo", scaling: Scaling | None = None
) -> Image.Image:
    """Decode a photo, upright and RGB, and shrink it to what the page needs.

    Args:
        image: a path, the bytes of a file, or a picture.
        name: what errors call it: the sender's name for it, not its place on this machine.
        scaling: how more than 8 bits become 8; by the range of the number format when `None`.

    Raises:
        ImageError: it cannot be read; the message says why.

    Example:
        >>> read_photo(Image.new("L", (3000, 1500))).size
        (1024, 512)
    """
    data = file_bytes(Path(image), name) if isinstance(image, str | Path) else image
    photo = open_image(data, name=name, scaling=scaling)  # errors about bytes do not name the file
    photo.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.BICUBIC)
    return photo


def file_bytes(path: Path, name: str) -> bytes:
    """Return the bytes of a file, which errors call by its sender's name for it.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}.", reason=error.strerror) from error


def sample_photos() -> dict[str, Path]:
    """Return the photos that come with the package, by name.

    Example:
        >>> "coffee" in sample_photos()
        True
    """
    return {path.stem: path for path in sorted((Path(__file__).parent / "samples").glob("*.jpg"))}


def _mask_of(request: Request, grid: tuple[int, int]) -> Tensor:
    """Return the mask of a request, (1, N); painted patches outside the grid are ignored."""
    patches = grid[0] * grid[1]
    if request.painted is None:
        return draw_mask(request.strategy, 1, grid, request.ratio, seed=request.seed)
    mask = torch.zeros(1, patches, dtype=torch.bool, device="cpu")
    mask[0, [index for index in request.painted if index < patches]] = True
    return mask
