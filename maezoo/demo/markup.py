"""The page's pictures as HTML. They are embedded in it, so that the server writes no files for them."""

import base64
from html import escape
from io import BytesIO

from PIL import Image
from torch import Tensor

from maezoo.demo.studio import View, sample_photos
from maezoo.figures.canvas import to_pixels

__all__ = ["board", "failure", "panels", "report", "samples"]


def board(view: View) -> str:
    """Return the picture whose patches are clicked: masked, with the chosen patch framed.

    Example:
        >>> from maezoo.demo.studio import Request, Studio
        >>> 'data-rows="12"' in board(Studio("cpu").look(Request(photo=Image.new("RGB", (96, 96)))))
        True
    """
    (h, w), (row, column) = view.grid, view.patch
    return (
        f'<div class="mz-board" tabindex="0" role="application" data-rows="{h}" data-columns="{w}" data-row="{row}" '
        f'data-column="{column}" style="--rows:{h};--columns:{w};aspect-ratio:{_aspect(view)}" '
        'aria-label="Patches of the photo: click one, or move with the arrow keys and press Enter">'
        f'<img draggable="false" alt="the photo with hidden patches grey" src="{_source(view, "masked")}">'
        f'<div class="mz-lines"></div><div class="mz-chosen" style="--row:{row};--column:{column}"></div>'
        '<div class="mz-hover" hidden></div></div>'
    )


def panels(view: View) -> str:
    """Return the pictures next to the board, and the download of the strip."""
    leak = " (colours from the input)" if view.reconstruction.uses_input_statistics else ""
    row, column = view.patch
    pictures = [
        ("original", _source(view, "original"), "photo"),
        ("masked", _source(view, "masked"), "photo"),
        ("reconstruction" + leak, _source(view, "pixels"), "photo"),
        ("error of hidden patches", _png(view.error), "map"),
        ("attention of the class token", _png(view.attention), "map"),
        (f"similarity to ({row}, {column})", _png(view.similarity), "map"),
    ]
    heads = [(f"head {number}", _png(head), "map") for number, head in enumerate(view.heads)]
    strip = _png(view.reconstruction.to_pil())
    return (
        f'<div class="mz-panels">{"".join(_figure(view, *picture) for picture in pictures)}</div>'
        '<p class="mz-scale"><span>least</span><span class="mz-magma"></span><span class="mz-viridis"></span>'
        "<span>most</span></p>"
        f'<details class="mz-heads"><summary>Attention of each head</summary>'
        f'<div class="mz-panels mz-small">{"".join(_figure(view, *head) for head in heads)}</div></details>'
        f'<p><a class="mz-download" download="maezoo.png" href="{strip}">Download the strip</a></p>'
    )


def report(view: View, model: str, photo: str, *, dark: bool = False) -> str:
    """Return the line that says what was done; of a picture that uses little of its range, what helps."""
    hidden, patches = len(view.hidden), view.grid[0] * view.grid[1]
    text = (
        f"{photo}: {hidden} of {patches} patches hidden ({hidden / patches:.0%}), "
        f"error {float(view.reconstruction.loss[0]):.3f}. {model}, {view.seconds * 1000:.0f} ms."
    )
    if dark:
        text += " It uses little of the range of its values: choose other values for black and white."
    return f'<p class="mz-report" role="status">{escape(text)}</p>'


def failure(message: str) -> str:
    """Return an error as words."""
    return f'<p class="mz-failure" role="alert">{escape(message)}</p>'


def samples() -> str:
    """Return the sample photos as buttons.

    Example:
        >>> samples().count("<button")
        5
    """
    buttons = []
    for name, path in sample_photos().items():
        with Image.open(path) as photo:
            side = min(photo.size)
            left, top = (photo.width - side) // 2, (photo.height - side) // 2
            small = photo.crop((left, top, left + side, top + side)).resize((96, 96))
        source = _encode(small, "JPEG", quality=80)
        buttons.append(
            f'<button type="button" data-sample="{name}" title="{name}"><img alt="{name}" src="{source}"></button>'
        )
    return f'<div class="mz-samples">{"".join(buttons)}</div>'


def _figure(view: View, caption: str, source: str, kind: str) -> str:
    return (
        f'<figure><img class="mz-{kind}" style="aspect-ratio:{_aspect(view)}" alt="{escape(caption)}" src="{source}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _aspect(view: View) -> str:
    return f"{view.grid[1]}/{view.grid[0]}"


def _source(view: View, part: str) -> str:
    """Return one of the reconstruction's pictures as a data URL."""
    images: Tensor = getattr(view.reconstruction, part)
    return _png(Image.fromarray((to_pixels(images[0]) * 255).round().astype("uint8")))


def _png(image: Image.Image) -> str:
    return _encode(image, "PNG")


def _encode(image: Image.Image, kind: str, **options: int) -> str:
    """Return an image as a data URL."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
