"""Folders of weights that timm reads without us: `model.safetensors` has timm's names, and a decoder its own file.

timm loads `model.safetensors` strictly, so that a decoder cannot be in it. Both files say the hash of the decoder's
tensors: a save that was interrupted never joins an encoder with the decoder of another model.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.models import VisionTransformer
from torch import Tensor

from maezoo.checkpoints.card import card
from maezoo.checkpoints.configs import CONFIG
from maezoo.checkpoints.metadata import DECODER, DECODER_KEY, WEIGHTS, WeightsMetadata
from maezoo.checkpoints.pairs import has_decoder_key
from maezoo.checkpoints.save import apart, to_layout
from maezoo.checkpoints.timm_config import timm_config
from maezoo.checkpoints.timm_model import check_rebuilds, metadata_of
from maezoo.errors import ArgumentError
from maezoo.files import written_whole
from maezoo.images.preprocessing import Preprocessing
from maezoo.paths import user_path
from maezoo.tensorfiles import write_safetensors
from maezoo.vocabulary import Target

__all__ = ["save_timm_model", "shared_tensors", "write_folder"]


def save_timm_model(
    model: VisionTransformer,
    folder: str | Path,
    preprocess: Preprocessing,
    *,
    label_names: Sequence[str] | None = None,
    target: Target | None = None,
    license: str = "unknown",
    origin: str = "",
) -> Path:
    """Write a timm encoder, such as a fine-tuned one with its head, as a folder that timm reads without maezoo.

    `timm.create_model("local-dir:folder", pretrained=True)` gives the same outputs to the bit, and
    `maezoo.create("local-dir:folder")` the encoder.

    Args:
        model: a plain ViT of timm's, with or without a head.
        folder: gets model.safetensors, config.json and README.md; made when missing.
        preprocess: how its images are prepared; the size is the model's own.
        label_names: of the classes, in the order of the head's outputs.
        target: what its decoder was trained to predict in pretraining, where known.
        license: of the weights.
        origin: where they come from, in words.

    Returns:
        The folder.

    Raises:
        ArgumentError: the number of labels is not that of the classes.
        LayoutError: the model has parts that timm's plain ViTs lack, so that nothing could load the folder.

    Example:
        >>> import tempfile, maezoo, timm
        >>> model = timm.create_model("mae_vit_tiny", pretrained=True, num_classes=2)
        >>> preprocess = maezoo.info("mae_vit_tiny").preprocess
        >>> folder = save_timm_model(model, tempfile.mkdtemp(), preprocess, label_names=["cat", "dog"])
        >>> timm.create_model(f"local-dir:{folder}", pretrained=True).pretrained_cfg["label_names"]
        ['cat', 'dog']
    """
    if label_names is not None and len(label_names) != model.num_classes:
        message = f"{len(label_names)} label_names for a head of {model.num_classes} classes."
        raise ArgumentError(message, expected=model.num_classes, found=len(label_names))
    size: Any = model.patch_embed.img_size
    preprocess = replace(preprocess, size=(int(size[0]), int(size[1])))
    metadata = metadata_of(model, preprocess, target=target, license=license, origin=origin)
    facts: dict[str, Any] = {"global_pool": model.global_pool, "dynamic_img_size": model.dynamic_img_size}
    if label_names is not None:
        facts["label_names"] = list(label_names)
    tensors = {key: tensor.detach().contiguous() for key, tensor in model.state_dict().items()}
    config = timm_config(metadata, {key: tuple(tensor.shape) for key, tensor in tensors.items()}, facts)
    check_rebuilds(model, config)
    return write_folder(folder, apart(tensors), metadata, facts)


def write_folder(
    folder: str | Path,
    tensors: Mapping[str, Tensor],
    metadata: WeightsMetadata,
    facts: Mapping[str, Any] | None = None,
    *,
    repo_id: str | None = None,
) -> Path:
    """Write weights as a folder; each file appears complete or not at all.

    Args:
        folder: made when missing.
        tensors: the encoder by timm's names, its head included, and the decoder by ours.
        metadata: of the weights.
        facts: of a head, from `head_facts`.
        repo_id: the repository that the README names in place of the folder.

    Returns:
        The folder.
    """
    folder = user_path(folder)
    decoder = {key: tensor for key, tensor in tensors.items() if key.startswith("decoder.")}
    encoder = {key: tensor for key, tensor in tensors.items() if key not in decoder}
    shapes = {key: tuple(tensor.shape) for key, tensor in encoder.items()}
    config = timm_config(metadata, shapes, facts or {})
    header = metadata.to_header()
    if decoder:
        header[DECODER_KEY] = _digest(decoder)
        write_safetensors(folder / DECODER, decoder, {"format": "pt", DECODER_KEY: header[DECODER_KEY]})
    write_safetensors(folder / WEIGHTS, encoder, header)
    if not decoder:
        _remove_old(folder / DECODER)
    with written_whole(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    text = card(
        metadata,
        source=f"hf-hub:{repo_id}" if repo_id else f"local-dir:{folder.as_posix()}",
        title=repo_id or metadata.variant.name,
        classes=config["num_classes"],
        labels=config.get("label_names"),
    )
    with written_whole(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder


def shared_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of an autoencoder as `write_folder` takes them: the encoder's by timm's names."""
    encoder = {key: tensor for key, tensor in state.items() if key.startswith("encoder.")}
    decoder = {key: tensor for key, tensor in state.items() if key not in encoder}
    return apart({**to_layout(encoder, "timm"), **to_layout(decoder, "maezoo")})


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of tensors, their names and their kinds."""
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        data: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(data)
    return digest.hexdigest()


def _remove_old(path: Path) -> None:
    """Remove the decoder of a model that was in the folder before; another's file of this name stays."""
    if has_decoder_key(path):
        path.unlink()
        with suppress(OSError):  # something else is in its folder
            path.parent.rmdir()
