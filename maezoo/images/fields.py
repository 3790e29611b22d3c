"""One input of any field as an array of the model's size: pictures, bands, sounds and texts come together here.

No torch here: exported models prepare their inputs with this too.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maezoo.errors import ImageError
from maezoo.images.bands import prepare_bands
from maezoo.images.decoding import ImageLike, open_image
from maezoo.images.drawing import as_line, draw_strip
from maezoo.images.fbank import RATE, SHIFT
from maezoo.images.geotiff import Raster, check_extent, is_tiff, lacking, read_geotiff
from maezoo.images.guard import guarded, head_of
from maezoo.images.inputs import Scene, Sound, Text, is_tensor
from maezoo.images.npy import is_npy, load_npy
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.reading import as_path, kind_of, read_bytes
from maezoo.images.resizing import least_side, resized
from maezoo.images.sounds import as_samples, prepare_log_mel, prepare_sound, read_sound
from maezoo.images.window import Scaling

__all__ = ["Prepared", "prepare_array", "prepare_sized", "takes_pictures"]

_FILES: Any = str | os.PathLike | bytes | bytearray | memoryview


class Prepared(NamedTuple):
    """An input, ready but for mean and standard deviation.

    Attributes:
        pixels: (H, W, C): uint8, or float32 in the units of mean and standard deviation.
        size: (width, height) of its source: pixels, or frames and bands of a sound.
    """

    pixels: NDArray[Any]
    size: tuple[int, int]


def takes_pictures(preprocess: Preprocessing, in_chans: int) -> bool:
    """Tell whether a model's input is a photograph's: RGB or grey, and nothing else.

    Example:
        >>> takes_pictures(Preprocessing((32, 32)), 3), takes_pictures(Preprocessing((32, 32)), 13)
        (True, False)
    """
    return in_chans in (1, 3) and preprocess.bands is None and preprocess.kind == "picture"


def prepare_array(
    image: ImageLike, preprocess: Preprocessing, in_chans: int, name: str, scaling: Scaling
) -> NDArray[Any]:
    """Decode and resize one input.

    Args:
        image: an image-like.
        preprocess: the size and the resize rule, and what the input is drawn from.
        in_chans: channels wanted: 3 for RGB, 1 for grey; otherwise bands.
        name: what errors call it.
        scaling: how more than 8 bits become 8; tells what a user should know.

    Returns:
        (H, W, in_chans): uint8, or float32 in the units of mean and standard deviation.

    Raises:
        ImageError: it cannot be read, or is no input of this model.
        MissingExtraError: a library that reads it is not installed.
    """
    return prepare_sized(image, preprocess, in_chans, name, scaling).pixels


def prepare_sized(image: Any, preprocess: Preprocessing, in_chans: int, name: str, scaling: Scaling) -> Prepared:
    """Do the same as `prepare_array`; also return the size of the source."""
    if hasattr(image, "read"):
        image = read_bytes(image, name)  # once: some cannot be wound back
    name = _called(image, name, preprocess)
    if preprocess.kind == "sound":
        energies = _sound(image, preprocess, name, scaling)
        return Prepared(energies, (energies.shape[0], energies.shape[1]))
    if preprocess.kind == "text":
        pixels = _text(image, preprocess, name, scaling)
        return Prepared(pixels, (pixels.shape[1], pixels.shape[0]))
    if isinstance(image, Sound | Text):
        _refuse_kind(image, name, "pictures" if preprocess.bands is None else "bands")
    raster = _raster(image, preprocess, in_chans, name)
    if raster is not None:
        size = raster.values.shape[1::-1]
        return Prepared(prepare_bands(raster, preprocess, in_chans, name, scaling), (size[0], size[-1]))
    if in_chans not in (1, 3):
        bands = "" if preprocess.bands is None else f" ({', '.join(preprocess.bands)})"
        raise ImageError(
            f"{name}: this model takes {in_chans} channels{bands}; pass arrays (H, W, {in_chans}), tensors, GeoTIFF or "
            ".npy files.",
            expected=preprocess.bands or in_chans,
        )
    picture = open_image(image, name=name, least=least_side(preprocess), scaling=scaling)
    return Prepared(resized(picture, preprocess, in_chans), picture.size)


def _refuse_kind(image: Any, name: str, wanted: str) -> NoReturn:
    """Refuse what is an input of models of another field."""
    raise ImageError(
        f"{name} is {kind_of(image)}, and this model takes {wanted}.", expected=wanted, found=type(image).__name__
    )


def _called(image: Any, name: str, preprocess: Preprocessing) -> str:
    """Return what errors call an input: a file by its path."""
    source = image.source if isinstance(image, Scene | Sound) else image
    text = preprocess.kind == "text" and isinstance(source, str)
    return name if text or not isinstance(source, str | os.PathLike) else str(as_path(source))


def _raster(image: Any, preprocess: Preprocessing, in_chans: int, name: str) -> Raster | None:
    """Return an input as bands; `None` for what is a picture."""
    if isinstance(image, Scene):
        return _of_scene(image, name)
    pictures = takes_pictures(preprocess, in_chans)
    if isinstance(image, np.ndarray):
        grey = image.ndim == 2 and in_chans == 3  # which becomes RGB, as pictures do
        return None if pictures or grey or image.ndim not in (2, 3) else Raster(image)
    if not isinstance(image, _FILES) or (pictures and not _may_be_npy(image)):
        return None
    return _of_file(image, name, Scene(image), pictures=pictures)


def _may_be_npy(source: Any) -> bool:
    """Tell whether a file, which is most likely a photograph, may be an array; it is not opened."""
    return (
        os.fspath(source).lower().endswith(".npy")
        if isinstance(source, str | os.PathLike)
        else is_npy(bytes(source[:6]))
    )


def _of_scene(scene: Scene, name: str) -> Raster:
    """Return a scene's bands, with what it says of them."""
    source: Any = scene.source
    if is_tensor(source):
        if source.ndim != 3:
            raise ImageError(f"{name}: a tensor in a Scene is (C, H, W); got {tuple(source.shape)}.")
        source = source.detach().permute(1, 2, 0).cpu().numpy()
    if isinstance(source, np.ndarray):
        found: Raster | None = _of_array(source, scene, name)
    elif isinstance(source, _FILES) or hasattr(source, "read"):
        found = _of_file(source, name, scene, pictures=False)
    else:
        found = None
    if found is None:
        raise ImageError(f"{name}: a Scene is a GeoTIFF, a .npy file, an array (H, W, C) or a tensor (C, H, W).")
    names = found.names if scene.bands is None else tuple(scene.bands)
    if scene.bands is not None and found.values.ndim == 3 and len(scene.bands) != found.values.shape[2]:
        count = found.values.shape[2]
        raise ImageError(f"{name} has {count} bands, and {len(scene.bands)} names are given.", found=scene.bands)
    return found._replace(names=names)


def _of_array(values: NDArray[Any], scene: Scene, name: str) -> Raster:
    """Return an array's part, on its scale, with what it lacks."""
    if values.ndim not in (2, 3):
        raise ImageError(f"{name}: an array of bands is (H, W, C); got {tuple(values.shape)}.")
    if scene.crop is not None:
        top, left, height, width = scene.crop
        if top + height > values.shape[0] or left + width > values.shape[1]:
            raise ImageError(
                f"{name} is {values.shape[0]}x{values.shape[1]} pixels (HxW), and the crop {scene.crop} leaves it."
            )
        values = values[top : top + height, left : left + width]
    check_extent(values.shape, name)
    scale, offset = (1.0 if scene.scale is None else scene.scale), scene.offset or 0.0
    absent = None if scene.nodata is None else lacking(values, scene.nodata)
    if (scale, offset) != (1.0, 0.0):
        values = (values * np.float32(scale) + np.float32(offset)).astype(np.float32)
    return Raster(values, absent=absent if absent is not None and absent.any() else None)


def _of_file(source: Any, name: str, scene: Scene, *, pictures: bool) -> Raster | None:
    """Return the bands of a .npy file or a GeoTIFF; `None` for other files, and for what is read as a picture."""
    file = _file(source, name)
    head = guarded(file, name, lambda: head_of(file))
    if is_npy(head):
        return guarded(file, name, lambda: _of_array(load_npy(file), scene, name), what="an array")
    if pictures or not is_tiff(head):
        return None
    part: dict[str, Any] = {"crop": scene.crop, "scale": scene.scale, "offset": scene.offset, "nodata": scene.nodata}
    return guarded(file, name, lambda: read_geotiff(file, name, **part), what="GeoTIFF")


def _sound(image: Any, preprocess: Preprocessing, name: str, scaling: Scaling) -> NDArray[np.float32]:
    """Return log-mel energies of a sound, its file, or an array of them."""
    frames, bands = preprocess.size
    if isinstance(image, Scene | Text):
        _refuse_kind(image, name, "sounds")
    if isinstance(image, np.ndarray):
        return prepare_log_mel(image, preprocess, name, scaling)
    sound = image if isinstance(image, Sound) else Sound(image)
    source: Any = sound.source
    length = frames * SHIFT / RATE if sound.seconds is None else sound.seconds
    if isinstance(source, np.ndarray) or is_tensor(source):
        values = np.asarray(source.detach().cpu() if is_tensor(source) else source)
        samples = as_samples(values, sound.rate, name)
        first = round(sound.start * samples.rate)
        samples = samples._replace(values=samples.values[first : first + int(samples.rate * (length + 0.1))])
    elif isinstance(source, _FILES) or hasattr(source, "read"):
        file = _file(source, name)
        head = guarded(file, name, lambda: head_of(file), what="sound")
        if is_npy(head):
            return guarded(file, name, lambda: prepare_log_mel(load_npy(file), preprocess, name, scaling), what="sound")
        samples = guarded(file, name, lambda: read_sound(file, name, sound.start, length, sound.rate), what="sound")
    else:
        raise ImageError(
            f"{name} is {kind_of(source)}; a sound is a file, maezoo.Sound(samples, rate), or log-mel energies in "
            f"floats, (frames, {bands})."
        )
    if sound.seconds is not None:
        samples = samples._replace(seconds=min(sound.seconds, samples.seconds))
        samples = samples._replace(values=samples.values[: max(1, round(sound.seconds * samples.rate))])
    return prepare_sound(samples, preprocess, name, scaling)


def _text(image: Any, preprocess: Preprocessing, name: str, scaling: Scaling) -> NDArray[np.uint8]:
    """Return a text as a strip, or a strip that is one already."""
    P, most = preprocess.size
    if isinstance(image, Scene | Sound):
        _refuse_kind(image, name, "texts")
    if isinstance(image, os.PathLike) and os.fspath(image).lower().endswith(".txt"):
        path = _file(image, name)
        image = guarded(path, name, lambda: _read_text(path, most), what="text")
    if isinstance(image, str | Text):
        text = image if isinstance(image, Text) else Text(image)
        lines = [as_line(each, name, most) for each in (text.text, text.second) if each is not None]
        strip = draw_strip(lines, text.font, name, most)
        if text.patches is not None:
            room = text.patches * P - strip.shape[1]
            if room < 0 or text.patches * P > most:
                needs = strip.shape[1] // P
                raise ImageError(
                    f"{name} needs {needs} patches, and a strip has up to {most // P}; got {text.patches}."
                )
            strip = np.pad(strip, ((0, 0), (0, room)), constant_values=255)
        return np.repeat(strip[:, :, None], 3, axis=2)
    picture: Image.Image = open_image(image, name=name, scaling=scaling)
    if picture.height != P or picture.width % P or picture.width > most:
        raise ImageError(
            f"{name} is a picture of {picture.width}x{picture.height} pixels; this model takes texts, or strips of "
            f"them: {P} pixels high, a multiple of {P} wide, {most} at most.",
            found=picture.size,
        )
    return np.asarray(picture)


def _read_text(file: Path | bytes, most: int) -> str:
    """Read a file of text, no more of it than what is refused as too long."""
    if isinstance(file, bytes):
        return file.decode("utf-8-sig")
    with file.open(encoding="utf-8-sig") as opened:
        return opened.read(4 * most + 1)


def _file(source: Any, name: str) -> Path | bytes:
    """Return a file's path or bytes."""
    return as_path(source) if isinstance(source, str | os.PathLike) else read_bytes(source, name)
