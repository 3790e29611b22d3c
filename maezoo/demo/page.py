"""The page: its parts, and what each is connected with."""

from pathlib import Path
from typing import Any

from maezoo.demo import markup
from maezoo.demo.handlers import Handlers
from maezoo.demo.studio import DEFAULT_MODEL, Studio, model_choices
from maezoo.errors import MissingExtraError
from maezoo.vocabulary import STRATEGIES, WINDOWS

__all__ = ["CSS", "build_page"]

_HERE = Path(__file__).parent
CSS = (_HERE / "page.css").read_text(encoding="utf-8")
_HIDE, _LIKE = "hides or shows it", "shows similar patches"
_KEPT_SECONDS = 3600  # how long the photo of a closed page is kept in memory


def build_page(studio: Studio, model: str = DEFAULT_MODEL, window: str = "full") -> Any:
    """Build the page.

    Args:
        studio: does the work.
        model: name of the weights to start with.
        window: which values of a picture of more than 8 bits are black and white at first: a word, or `"LOW,HIGH"`.

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
                controls = _controls(model, window)
            with gr.Column(scale=3, min_width=300, elem_classes="mz-first"):
                message = gr.HTML(elem_id="message")
                action = gr.Radio([_HIDE, _LIKE], value=_HIDE, label="A click on a patch", elem_id="action")
                board = gr.HTML(elem_id="board", js_on_load=_script("board.js"))
        panels = gr.HTML(elem_id="panels")
        _connect(page, Handlers(studio), state, sources, controls, action, (board, panels, message))
    return page


def _photo_inputs() -> dict[str, Any]:
    """Add the ways to choose a photo."""
    import gradio as gr

    samples = gr.HTML(markup.samples(), elem_id="samples", js_on_load=_script("samples.js"))
    upload = gr.File(
        label="Your photo (not kept)",
        file_types=["image", ".dcm", ".dicom"],
        type="filepath",
        height=150,
        elem_id="upload",
    )
    with gr.Accordion("Webcam or clipboard", open=False):
        camera = gr.Image(
            sources=["webcam", "clipboard"], type="filepath", show_label=False, height=220, elem_id="camera", buttons=[]
        )
    return {"samples": samples, "upload": upload, "camera": camera}


def _controls(model: str, window: str) -> dict[str, Any]:
    """Add the controls of model, mask and window."""
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
    shade = gr.Dropdown(
        [*WINDOWS] if window in WINDOWS else [window, *WINDOWS],
        value=window,
        allow_custom_value=True,
        label="Black and white of 16-bit and medical pictures",
        info="a rule, or two values: LOW,HIGH",
        elem_id="window",
    )
    return {
        "model": chosen,
        "ratio": ratio,
        "strategy": strategy,
        "seed": seed,
        "fresh": fresh,
        "layer": layer,
        "window": shade,
    }


def _connect(
    page: Any,
    handlers: Handlers,
    state: Any,
    sources: dict[str, Any],
    controls: dict[str, Any],
    action: Any,
    shown: tuple[Any, Any, Any],
) -> None:
    """Connect the parts with their handlers. One request runs at a time; of a slider's values only the last counts."""
    from gradio import EventData

    settings = [state, *(controls[name] for name in ("model", "ratio", "strategy", "seed", "window", "layer"))]
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
    for name in ("window", "layer"):
        controls[name].change(handlers.show, settings, **common)
    controls["model"].change(handlers.change_model, settings, **common | {"show_progress": "minimal"})
    controls["fresh"].click(lambda seed: int(seed or 0) + 1, controls["seed"], controls["seed"], queue=False)
    shown[0].click(clicked, [action, *settings], **common)
    sources["samples"].click(sampled, settings, **common)
    for brought, bring, source in (
        (sources["upload"].upload, handlers.upload, sources["upload"]),
        (sources["camera"].input, handlers.camera, sources["camera"]),
    ):
        brought(bring, [source, *settings], **common | {"outputs": [*outputs, source]})


def _script(name: str) -> str:
    """Return a script of this folder."""
    return (_HERE / name).read_text(encoding="utf-8")
