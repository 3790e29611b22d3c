"""Which weights a run used: the hash of their file, or of the tensors where no file holds them."""

import hashlib
from pathlib import Path

import torch

from maezoo.api.factory import create
from maezoo.api.image_methods import ImageMethods
from maezoo.errors import MaezooError
from maezoo.files import sha256_of

__all__ = ["used_weights"]


def used_weights(model: ImageMethods, *, given: bool) -> str:
    """Return the sha256 of the weights' file, or `tensors:` and that of the encoder's tensors.

    Args:
        model: the model.
        given: by the caller, who may have trained it since it was loaded; not created by this run.
    """
    report = model.load_report
    if (
        model.entry is not None
        and report is not None
        and (not given or _is_as_loaded(model, model.entry.name, report.path))
    ):
        return model.entry.sha256 or sha256_of(report.path)
    digest = hashlib.sha256()
    for name, tensor in model.encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return f"tensors:{digest.hexdigest()}"


def _is_as_loaded(model: ImageMethods, name: str, path: Path) -> bool:
    """Whether the encoder's tensors are still those of the file that the model was loaded from."""
    assert model.load_report is not None
    try:
        fresh = create(
            name,
            checkpoint=path,
            device=model.device,
            dtype=model.dtype,
            img_size=model.img_size,
            in_chans=model.in_chans,
            decoder=False,
        )
    except (MaezooError, OSError):  # the file is gone or is another one by now
        return False
    ours, theirs = model.encoder.state_dict(), fresh.encoder.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
