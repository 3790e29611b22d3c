"""Folders of weights: which file is meant, what its configuration says, and a model written as a folder."""

import shlex
from pathlib import Path
from typing import Any

from maezoo.checkpoints.configs import CONFIG, PREPROCESSOR, read_json
from maezoo.checkpoints.metadata import WEIGHTS, WeightsMetadata
from maezoo.checkpoints.sharing import shared_tensors, write_folder
from maezoo.checkpoints.timm_config import read_timm
from maezoo.checkpoints.transformers_config import read_preprocessor, read_transformers
from maezoo.errors import LayoutError, WeightsNotFoundError
from maezoo.images.preprocessing import Preprocessing
from maezoo.listing import files_in
from maezoo.manifest.description import Description
from maezoo.model import MaskedAutoencoder
from maezoo.model.variants import Variant, named_variant
from maezoo.vocabulary import Part

__all__ = ["PICKLES", "WEIGHTS", "describe_folder", "describe_model", "save_folder", "weights_in"]

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pth", "model.pth", "checkpoint.pth")


def describe_folder(folder: Path) -> Description:
    """Read what the configuration files of a folder say of the weights in it; nothing, where there are none.

    Raises:
        LayoutError: a file is no JSON, or describes an architecture or a preparation that maezoo does not have.
    """
    config = read_json(folder / CONFIG)
    if config is None:
        return Description()
    where = folder / CONFIG
    if "maezoo" in config:
        found = WeightsMetadata.from_data(config["maezoo"], where)
        return Description(found.variant, found.target, found.preprocess, found.license, found.origin, found.facts)
    if "architecture" in config:
        return read_timm(config, where)
    if "hidden_size" in config:
        described = read_transformers(config, where)
        preprocessor = read_json(folder / PREPROCESSOR)
        if preprocessor is None:
            return described
        return described.filled_from(Description(preprocess=read_preprocessor(preprocessor, folder / PREPROCESSOR)))
    raise LayoutError(
        f"{where} is neither timm's, nor transformers', nor maezoo's: it has {', '.join(sorted(config))}.",
        path=where,
        found=tuple(sorted(config)),
    )


def weights_in(folder: Path) -> Path:
    """Return the weights file of a folder: model.safetensors or its index, or the only safetensors file there.

    Args:
        folder: the folder; a file is returned as it is.

    Raises:
        WeightsNotFoundError: there is none, or it is not clear which is meant.
    """
    if folder.is_file():
        return folder
    for name in (WEIGHTS, f"{WEIGHTS}.index.json"):
        if (folder / name).is_file():
            return folder / name
    found = files_in(folder, ".safetensors") if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    if not folder.exists():
        raise WeightsNotFoundError(f"{folder}: there is no such file or folder.", path=folder)
    pickles = [name for name in PICKLES if (folder / name).is_file()]
    if pickles and not found:
        command = f"maezoo convert {shlex.quote(str(folder))} {shlex.quote(f'{folder}-safetensors')}"
        fix = f"maezoo reads pickles only to convert them. Run `{command}`."
        message = f"{folder} has {pickles[0]} and no {WEIGHTS}: {fix}"
        raise WeightsNotFoundError(message, path=folder, expected=WEIGHTS, found=tuple(pickles), command=command)
    what = f"several files ({', '.join(path.name for path in found)}) and no" if found else "no"
    hint = "name one of them" if found else "`maezoo convert` makes one of .pth and .bin files"
    message = f"{folder} has {what} {WEIGHTS}; {hint}."
    raise WeightsNotFoundError(message, path=folder, expected=WEIGHTS, found=tuple(path.name for path in found))


def describe_model(
    model: MaskedAutoencoder, preprocess: Preprocessing, *, license: str = "unknown", origin: str = ""
) -> WeightsMetadata:
    """Return what a file of this model should say of itself.

    Args:
        model: the autoencoder.
        preprocess: how its images are prepared.
        license: of the weights.
        origin: where they come from, in words.
    """
    parts: tuple[Part, ...] = ("encoder",) if model.decoder is None else ("encoder", "decoder")
    return WeightsMetadata(_variant_of(model), model.target, preprocess, parts, license, origin, model.facts)


def _variant_of(model: MaskedAutoencoder) -> Variant:
    """Return the numbers of a model, called as in the zoo if it has them."""
    blocks: Any = model.encoder.blocks
    numbers = {
        "patch_size": model.patch_size,
        "embed_dim": model.embed_dim,
        "depth": len(blocks),
        "num_heads": int(blocks[0].attn.num_heads),
    }
    if model.decoder is not None:
        blocks = model.decoder.blocks
        numbers["decoder_dim"] = model.decoder.dim
        numbers["decoder_depth"] = len(blocks)
        numbers["decoder_heads"] = int(blocks[0].attn.num_heads)
    return named_variant(model.img_size[0], numbers, model.num_prefix_tokens)


def save_folder(
    model: MaskedAutoencoder, folder: str | Path, metadata: WeightsMetadata, *, repo_id: str | None = None
) -> Path:
    """Write model.safetensors, decoder/model.safetensors where there is a decoder, config.json and README.md.

    Args:
        model: the autoencoder.
        folder: made when missing.
        metadata: of the model, from `describe_model`.
        repo_id: the repository that the card names in its example.

    Returns:
        The folder.
    """
    return write_folder(folder, shared_tensors(model.state_dict()), metadata, repo_id=repo_id)
