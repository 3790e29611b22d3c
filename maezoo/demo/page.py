"""The page: its parts, and what happens when one is used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from maezoo.demo import markup
from maezoo.demo.studio import DEFAULT_MODEL, Request, Studio, View, model_choices, read_photo, sample_photos
from maezoo.errors import MaezooError, MissingExtraError
from maezoo.vocabulary import STRATEGIES

__all__ = ["CSS", "build_page"]

_HERE = Path(__file__).parent
CSS = (_HERE / "page.css").read_text(encoding="utf-8")
_FIRST_SAMPLE = "coffee"
_HIDE, _LIKE = "hides or shows it", "shows similar patches"
_KEPT_SECONDS = 3600  # how long the photo of a closed page is kept in memory


class _State(NamedTuple):
    """What one visitor's page remembers: in memory alone, as long as the page is open."""

    photo: Image.Image
    name: str
    painted: frozenset[int] | None = None
    patch: tuple[int, int] | None = None


def build_page(studio: Studio, model: str = DEFAULT_MODEL) -> Any:
    """Build the page.

    Args:
        studio: does the work.
        model: name of the weights to start with.

    Returns:
        A `gradio.Blocks`.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError.for_extra("demo", "the demo page") from error
    with gr.Blocks(title="maezoo", analytics_enabled=False, delete_cache=(60, 60), fill_width=False) as page:
        state = gr.State(None, time_to_live=_KEPT_SECONDS)
        gr.Markdown("# maezoo\nHide patches of a photo, and see how a masked autoencoder reconstructs them.")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                sources = _photo_inputs()
                controls = _controls(model)
            with gr.Column(scale=3, min_width=300, elem_classes="mz-first"):
                message = gr.HTML(elem_id="message")
                action = gr.Radio([_HIDE, _LIKE], value=_HIDE, label="A click on a patch", elem_id="action")
                board = gr.HTML(elem_id="board", js_on_load=_script("board.js"))
        panels = gr.HTML(elem_id="panels")
        _connect(page, _Handlers(studio), state, sources, controls, action, (board, panels, message))
    return page


def _photo_inputs() -> dict[str, Any]:
    """Add the ways to choose a photo."""
    import gradio as gr

    samples = gr.HTML(markup.samples(), elem_id="samples", js_on_load=_script("samples.js"))
    upload = gr.File(
        label="Your photo (not kept)",
        file_types=["image"],
        type="filepath",
        height=150,
        elem_id="upload",
    )
    with gr.Accordion("Webcam or clipboard", open=False):
        camera = gr.Image(
            sources=["webcam", "clipboard"], type="filepath", show_label=False, height=220, elem_id="camera", buttons=[]
        )
    return {"samples": samples, "upload": upload, "camera": camera}


def _controls(model: str) -> dict[str, Any]:
    """Add the controls of model and mask."""
    import gradio as gr

    names = model_choices()
    chosen = gr.Dropdown(
        names if model in names else [model, *names], value=model, label="Model", filterable=False, elem_id="model"
    )
    ratio = gr.Slider(0, 100, value=75, step=5, label="Hidden patches in %", elem_id="ratio")
    strategy = gr.Radio(list(STRATEGIES), value="random", label="Which patches", elem_id="strategy")
    with gr.Row():
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31, min_width=100, elem_id="seed")
        fresh = gr.Button("Draw again", min_width=100, elem_id="fresh")
    layer = gr.Slider(1, 6, value=6, step=1, label="Attention of layer", elem_id="layer")
    return {"model": chosen, "ratio": ratio, "strategy": strategy, "seed": seed, "fresh": fresh, "layer": layer}


def _connect(
    page: Any,
    handlers: "_Handlers",
    state: Any,
    sources: dict[str, Any],
    controls: dict[str, Any],
    action: Any,
    shown: tuple[Any, Any, Any],
) -> None:
    """Connect the parts with their handlers. One request runs at a time; of a slider's values only the last counts."""
    from gradio import EventData

    settings = [state, *(controls[name] for name in ("model", "ratio", "strategy", "seed", "layer"))]
    outputs = [state, *shown, controls["layer"]]
    common = {
        "outputs": outputs,
        "api_visibility": "private",
        "show_progress": "hidden",
        "concurrency_id": "model",
        "trigger_mode": "always_last",
    }

    def clicked(event: EventData, wish: str, *values: Any) -> tuple[Any, ...]:
        return handlers.click(event._data.get("patches"), wish == _HIDE, *values)

    def sampled(event: EventData, *values: Any) -> tuple[Any, ...]:
        return handlers.sample(event._data.get("sample"), *values)

    page.load(handlers.show, settings, **common)
    for name in ("ratio", "strategy", "seed"):
        controls[name].change(handlers.redraw, settings, **common)
    controls["layer"].change(handlers.show, settings, **common)
    controls["model"].change(handlers.change_model, settings, **common | {"show_progress": "minimal"})
    controls["fresh"].click(lambda seed: int(seed or 0) + 1, controls["seed"], controls["seed"], queue=False)
    shown[0].click(clicked, [action, *settings], **common)
    sources["samples"].click(sampled, settings, **common)
    for brought, bring, source in (
        (sources["upload"].upload, handlers.upload, sources["upload"]),
        (sources["camera"].input, handlers.camera, sources["camera"]),
    ):
        brought(bring, [source, *settings], **common | {"outputs": [*outputs, source]})


class _Handlers:
    """What each control does. Every method takes the settings and returns what the page shows next."""

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
                return _State(read_photo(file, name), name)
            finally:
                Path(file).unlink(missing_ok=True)

        return (*self._answer(read, settings), None)

    def _answer(self, find: Callable[[], _State], settings: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return state, board, panels, message and layer slider; after an error the pictures stay as they are."""
        import gradio as gr

        try:
            state = find()
            view = self._studio.look(_request(state, settings))
        except (MaezooError, OSError, ValueError, TypeError, RuntimeError) as error:
            return gr.skip(), gr.skip(), gr.skip(), markup.failure(str(error)), gr.skip()
        layer = gr.update(maximum=view.depth, **({"value": view.depth} if settings[-1] is None else {}))
        said = markup.report(view, settings[0], state.name)
        return state, markup.board(view), markup.panels(view), said, layer


def _sample(name: str) -> _State:
    """Return a sample photo as the page's state."""
    photos = sample_photos()
    path = photos.get(name, photos[_FIRST_SAMPLE])
    return _State(read_photo(path), path.stem)


def _request(state: _State, settings: tuple[Any, ...]) -> Request:
    """Return the request for a state and the settings."""
    model, percent, strategy, seed, layer = settings
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


def _script(name: str) -> str:
    """Return a script of this folder."""
    return (_HERE / name).read_text(encoding="utf-8")
