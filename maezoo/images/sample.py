"""Photographs that come with the package, so that every example runs."""

from pathlib import Path

from PIL import Image

from maezoo.errors import ArgumentError

__all__ = ["SAMPLES", "sample"]

SAMPLES = ("astronaut", "camera", "cat", "coffee", "retina", "rocket")


def sample(name: str) -> Image.Image:
    """Open a photograph that comes with the package; it is public domain or CC0.

    Args:
        name: `"astronaut"` (512 x 512, NASA), `"camera"` (512 x 512, grey, by Lav Varshney), `"cat"` (451 x 300, by
            Stefan van der Walt), `"coffee"` (512 x 341, by Rachel Michetti), `"retina"` (512 x 512, a fundus
            photograph, by Mikael Häggström) or `"rocket"` (512 x 342, SpaceX).

    Returns:
        The picture, RGB, or L where it is grey.

    Raises:
        ArgumentError: no photograph has this name; the message lists them.

    Example:
        >>> sample("coffee").size
        (512, 341)
    """
    if name not in SAMPLES:
        raise ArgumentError.for_choice("the name of a sample", name, SAMPLES)
    with Image.open(Path(__file__).with_name("samples") / f"{name}.jpg") as image:
        return image.copy()
