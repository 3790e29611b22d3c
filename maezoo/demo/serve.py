"""The page on a port of this machine: private, bounded, and without leftovers."""

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from maezoo.demo.studio import DEFAULT_MODEL, Studio
from maezoo.errors import MissingExtraError
from maezoo.hub.fetching import fetch
from maezoo.images.preprocessing import as_window, parse_window
from maezoo.manifest.entries import load_manifest
from maezoo.vocabulary import Window

__all__ = ["served"]

_LARGEST_UPLOAD = "20mb"
_VISITORS = 50  # whose photos are kept in memory
_WAITING = 50  # requests; further ones are told that the queue is full
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'"
)


@contextmanager
def served(
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    model: str = DEFAULT_MODEL,
    window: Window = "full",
    device: str = "auto",
) -> Iterator[str]:
    """Serve the demo page while the block runs.

    Nothing leaves the machine: no fonts, scripts or statistics are requested from other servers, and the browser is
    told to refuse such requests. Uploads are deleted as soon as they are read.

    Args:
        host: address to listen on. Others than 127.0.0.1 are open to the network.
        port: the first free one from 7860 on when `None`.
        model: name of the weights to start with. Only these are downloaded, before the page is served; visitors choose
            among them and what is on this machine.
        window: which values of a picture of more than 8 bits are black and white at first, as in `maezoo.create`;
            visitors may choose others.
        device: as in `maezoo.create`.

    Yields:
        The address of the page.

    Raises:
        MissingExtraError: Gradio is not installed.
        ArgumentError: no such window.
        MaezooError: the model cannot be created.
        OSError: the port is taken.
    """
    shade = _as_typed(window)
    _check_port(host, port)
    private = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with (
        tempfile.TemporaryDirectory(prefix="maezoo-demo-", ignore_cleanup_errors=True) as folder,
        _environment({**private, "GRADIO_TEMP_DIR": folder}),
    ):
        gradio = _import_gradio()
        from maezoo.demo.page import CSS, build_page

        studio = Studio(device)
        fetch(load_manifest().find(model))
        studio.model(model)
        page = build_page(studio, model, shade).queue(max_size=_WAITING)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=False,
                quiet=True,
                prevent_thread_lock=True,
                show_error=True,
                max_file_size=_LARGEST_UPLOAD,
                state_session_capacity=_VISITORS,
                ssr_mode=False,
                footer_links=[],
                theme=_theme(gradio),
                css=CSS,
                app_kwargs={"middleware": [_policy_middleware()]},
            )
            yield address
        finally:
            page.close(verbose=False)


def _as_typed(window: Window) -> str:
    """Return a window as a visitor would type it."""
    text = window if isinstance(window, str) else ",".join(map(str, as_window(window)))
    parse_window(text)  # also refuses a window of several bands, which no photo has
    return text


def _check_port(host: str, port: int | None) -> None:
    """Refuse a port that is taken, before anything is loaded."""
    if port is None:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        if os.name == "posix":  # as servers do: a port that was in use a moment ago is free
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise OSError(
                f"port {port} of {host} cannot be used: {error.strerror or error}. Try another --port."
            ) from error


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs; Gradio takes some settings only from them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _import_gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError.for_extra("demo", "the demo page") from error
    return gradio


def _theme(gradio: Any) -> Any:
    """Return a theme that uses the visitor's own fonts, so that none is downloaded."""
    plain = ["system-ui", "sans-serif"]
    return gradio.themes.Default(
        primary_hue="blue", neutral_hue="gray", font=plain, font_mono=["ui-monospace", "monospace"]
    )


def _policy_middleware() -> Any:
    """Return the middleware that makes the browser refuse requests to other servers."""
    from starlette.middleware import Middleware

    return Middleware(_SecurityHeaders)


class _SecurityHeaders:
    """Adds the security headers to every answer; an ASGI middleware."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
