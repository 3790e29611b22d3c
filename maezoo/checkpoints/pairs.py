"""An encoder and its decoder in two files of a folder, known to belong together by the hash that both headers have."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from maezoo.checkpoints.metadata import DECODER, DECODER_KEY
from maezoo.checkpoints.naming import StateDict
from maezoo.errors import IntegrityError, LayoutError

__all__ = ["has_decoder_key", "join_decoder"]


def has_decoder_key(path: Path) -> bool:
    """Whether a file is one of two, an encoder or its decoder; no for what is no safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            return DECODER_KEY in (file.metadata() or {})
    except (SafetensorError, FileNotFoundError):
        return False


def join_decoder(
    path: Path,
    header: Mapping[str, str],
    encoder: Iterable[str],
    decoder_header: Mapping[str, str],
    decoder: Iterable[str],
) -> StateDict:
    """Name the tensors of two files as in the maezoo layout.

    Args:
        path: the encoder's file.
        header: its metadata.
        encoder: its keys, timm's names.
        decoder_header: the metadata of the decoder's file.
        decoder: its keys, our names.

    Raises:
        IntegrityError: the decoder is that of another model.
        LayoutError: a key is none of a decoder's.
    """
    other = path.parent / DECODER
    if decoder_header.get(DECODER_KEY) != header[DECODER_KEY]:
        message = f"{other} is not the decoder of {path}: a save was interrupted. Save it again."
        raise IntegrityError(message, path=other, expected=header[DECODER_KEY])
    names = {key: key for key in decoder}
    strange = [key for key in names if not key.startswith("decoder.")]
    if strange:
        message = f"{other} has keys that are none of a decoder's: {', '.join(strange[:6])}."
        raise LayoutError(message, path=other, found=tuple(strange))
    return StateDict({**{f"encoder.{key}": key for key in encoder}, **names})
