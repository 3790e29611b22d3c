"""What happens when a part of the page is used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from maezoo.demo import markup
from maezoo.demo.studio import Request, Studio, View, file_bytes, read_photo, sample_photos
from maezoo.errors import MaezooError
from maezoo.images.preprocessing import parse_window
from maezoo.images.window import Scaling

__all__ = ["Handlers"]

_FIRST_SAMPLE = "coffee"
_WINDOW = 4  # of the settings: model, ratio, strategy, seed, window, layer
_JPEG = b"\xff\xd8\xff"  # has 8 bits


class _State(NamedTuple):
    """What one visitor's page remembers: in memory alone, as long as the page is open."""

    photo: Image.Image
    name: str
    window: str | None = None
    file: bytes | None = None  # the picture's, where another window may show it differently
    dark: bool = False  # it uses little of its range
    painted: frozenset[int] | None = None
    patch: tuple[int, int] | None = None


class Handlers:
    """What each control does. Every method takes the settings and returns what the page shows next.

    Args:
        studio: does the work.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def show(self, state: _State | None, *settings: Any) -> tuple[Any, ...]:
        """Show the page's state."""
        return self._answer(lambda: state or _sample(_FIRST_SAMPLE), settings)

    def change_model(self, state: _State | None, *settings: Any) -> tuple[Any, ...]:
        """Change the model, and show the attention of its last layer."""
        *kept, _ = settings
        return self._answer(lambda: (state or _sample(_FIRST_SAMPLE))._replace(painted=None), (*kept, None))

    def redraw(self, state: _State | None, *settings: Any) -> tuple[Any, ...]:
        """Draw a new mask, and discard what was painted."""
        return self._answer(lambda: (state or _sample(_FIRST_SAMPLE))._replace(painted=None), settings)

    def sample(self, name: Any, state: _State | None, *settings: Any) -> tuple[Any, ...]:
        """Show a photo that comes with the package."""
        return self._answer(lambda: _sample(str(name)), settings)

    def upload(self, file: str | None, state: _State | None, *settings: Any) -> tuple[Any, ...]:
        """Show the visitor's file, and delete it once it is read."""
        return self._take(file, Path(file).name if file else "", state, settings)

    def camera(self, file: str | None, state: _State | None, *settings: Any) -> tuple[Any, ...]:
        """Show a picture from the webcam or the clipboard, and delete its file once it is read."""
        return self._take(file, "the picture", state, settings)

    def click(self, patches: Any, hide: bool, state: _State | None, *settings: Any) -> tuple[Any, ...]:
        """Hide or show the patches that were clicked, or choose one."""

        def chosen() -> _State:
            now = state or _sample(_FIRST_SAMPLE)
            cells = [(int(row), int(column)) for row, column in patches or []]
            if not cells:
                return now
            if not hide:
                return now._replace(patch=cells[-1])
            view = self._studio.look(_request(now, settings))
            return now._replace(painted=_toggled(view, cells), patch=cells[-1])

        return self._answer(chosen, settings)

    def _take(self, file: str | None, name: str, state: _State | None, settings: tuple[Any, ...]) -> tuple[Any, ...]:
        """Show a file's photo, and empty the input that it came from."""

        def read() -> _State:
            if file is None:
                return state or _sample(_FIRST_SAMPLE)
            try:
                return _read(file_bytes(Path(file), name), name, settings[_WINDOW])
            finally:
                Path(file).unlink(missing_ok=True)

        return (*self._answer(read, settings), None)

    def _answer(self, find: Callable[[], _State], settings: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return state, board, panels, message and layer slider; after an error the pictures stay as they are."""
        import gradio as gr

        try:
            state = _seen_through(find(), settings[_WINDOW])
            view = self._studio.look(_request(state, settings))
        except (MaezooError, OSError, ValueError, TypeError, RuntimeError) as error:
            return gr.skip(), gr.skip(), gr.skip(), markup.failure(str(error)), gr.skip()
        layer = gr.update(maximum=view.depth, **({"value": view.depth} if settings[-1] is None else {}))
        said = markup.report(view, settings[0], state.name, dark=state.dark)
        return state, markup.board(view), markup.panels(view), said, layer


def _sample(name: str) -> _State:
    """Return a sample photo as the page's state."""
    photos = sample_photos()
    path = photos.get(name, photos[_FIRST_SAMPLE])
    return _State(read_photo(path), path.stem)


def _read(data: bytes, name: str, window: str | None) -> _State:
    """Return a visitor's picture as the page's state, its values scaled by the window; `None` is all of them."""
    told: list[str] = []
    scaling = Scaling(parse_window(window or "full"), lambda text, *facts: told.append(text))
    photo = read_photo(data, name, scaling)
    return _State(photo, name, window, None if data.startswith(_JPEG) else data, dark=bool(told))


def _seen_through(state: _State, window: str | None) -> _State:
    """Return the state with its picture scaled by another window, if it has one and may have more than 8 bits."""
    if state.file is None or state.window == window:
        return state
    return _read(state.file, state.name, window)._replace(painted=state.painted, patch=state.patch)


def _request(state: _State, settings: tuple[Any, ...]) -> Request:
    """Return the request for a state and the settings."""
    model, percent, strategy, seed, _, layer = settings
    return Request(
        photo=state.photo,
        model=model,
        ratio=float(percent) / 100,
        strategy=strategy,
        seed=int(seed or 0),
        painted=state.painted,
        patch=state.patch,
        layer=-1 if layer is None else int(layer) - 1,
    )


def _toggled(view: View, cells: list[tuple[int, int]]) -> frozenset[int]:
    """Return the hidden patches after a stroke: its first patch decides whether the stroke hides or shows."""
    h, w = view.grid
    touched = {row * w + column for row, column in cells if 0 <= row < h and 0 <= column < w}
    first = cells[0][0] * w + cells[0][1]
    return view.hidden - touched if first in view.hidden else view.hidden | touched
