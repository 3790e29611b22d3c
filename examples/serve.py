"""A service that answers an uploaded picture with its feature vector. Requests that wait together form a batch.

uvicorn serve:app --app-dir examples --port 8000
curl -F file=@cat.jpg http://127.0.0.1:8000/features
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import torch
from fastapi import FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.formparsers import MultiPartParser

import maezoo
from maezoo.errors import ImageError, MissingExtraError

MODEL = os.environ.get("MODEL", "mae_vit_tiny")
LARGEST = int(os.environ.get("LARGEST_UPLOAD", 10 * 2**20))  # bytes of a request; more is answered with 413
BATCH, WAIT, QUEUE = 16, 0.005, 64  # images at a time, seconds to wait for more, requests that may wait
DECODERS = 4  # pictures that are decoded at a time: with the next line they bound the memory
MultiPartParser.spool_max_size = LARGEST  # an upload stays in memory: nothing is written, not even to /tmp
Image.MAX_IMAGE_PIXELS = 25_000_000  # Pillow refuses a picture of more than twice as many


class Batcher:
    """Joins the pictures of waiting requests to batches, and embeds one batch at a time."""

    def __init__(self, model: maezoo.MAE) -> None:
        self.model = model
        self.decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self.waiting: asyncio.Queue[tuple[torch.Tensor, asyncio.Future[list[float]]]] = asyncio.Queue(QUEUE)

    async def features(self, upload: UploadFile) -> list[float]:
        """Decode a picture, where bad ones fail alone, and wait for its vector."""
        loop = asyncio.get_running_loop()
        image = await loop.run_in_executor(self.decoders, self.model.prepare, upload.file)  # (1, C, H, W)
        done: asyncio.Future[list[float]] = loop.create_future()
        if self.waiting.full():
            raise HTTPException(503, "too many requests are waiting; try again", {"Retry-After": "1"})
        self.waiting.put_nowait((image, done))
        return await done

    async def run(self) -> None:
        """Embed what waits, without an end."""
        while True:
            batch = [await self.waiting.get()]
            await asyncio.sleep(WAIT)
            while len(batch) < BATCH and not self.waiting.empty():
                batch.append(self.waiting.get_nowait())
            images = torch.cat([image for image, _ in batch])
            work = asyncio.create_task(asyncio.to_thread(lambda images=images: self.model.features(images).tolist()))
            await asyncio.wait([work])
            for row, (_, done) in enumerate(batch):
                if done.done():  # the client has gone
                    continue
                if error := work.exception():
                    done.set_exception(error)
                else:
                    done.set_result(work.result()[row])


class Limit:
    """Ends a request whose body is too large as soon as it is, before it fills memory or disk."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, counting its bytes."""
        came = 0

        async def counted() -> Any:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > LARGEST:
                raise HTTPException(413, f"a request has at most {LARGEST:,} bytes", {"Connection": "close"})
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load and warm up before the port opens; weights that are not on this machine end the start with an error."""
    model = maezoo.create(MODEL, pretrained=True, decoder=False, offline=True)
    model.features(torch.zeros(BATCH, model.in_chans, *model.img_size))
    app.state.batcher = Batcher(model)
    app.state.running = asyncio.create_task(app.state.batcher.run())
    yield
    app.state.running.cancel()  # all requests have been answered by now
    app.state.batcher.decoders.shutdown()


app = FastAPI(title="maezoo features", lifespan=lifespan)
app.add_middleware(Limit)


@app.post("/features")
async def features(request: Request, file: UploadFile) -> dict[str, Any]:
    """Return the class token of a picture."""
    vector = await request.app.state.batcher.features(file)
    return {"model": request.app.state.batcher.model.name, "features": vector}


@app.exception_handler(ImageError)
@app.exception_handler(MissingExtraError)
async def refuse(request: Request, error: ImageError) -> JSONResponse:
    """Say what is wrong with a picture: 422, for it is the client's."""
    return JSONResponse({"detail": str(error), "reason": error.reason}, 422)


@app.get("/healthz")
async def health() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@app.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """Say whether more requests are welcome."""
    state = request.app.state
    fine = not state.running.done() and not state.batcher.waiting.full()
    return JSONResponse({"ready": fine, "waiting": state.batcher.waiting.qsize()}, 200 if fine else 503)
