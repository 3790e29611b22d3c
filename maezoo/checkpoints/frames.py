"""Tensors of other shapes than timm's that hold the same: filters of videos at one frame, class tokens in one tensor.

A patch embedding of videos whose patches are one frame deep is that of images. Its positions are fixed and have rows
for every frame; those of the first frame are the ones of an image.
"""

import re
from collections.abc import Mapping

from torch import Tensor

__all__ = ["flat_shape", "has_frame_positions", "image_tensors", "is_of_videos", "rows_of", "with_class_tokens_apart"]

_FILTERS = re.compile(r"(?:.*\.)?(?:patch_embed\.proj|patch_embeddings\.projection)\.weight")
_TIME = 4 / 16  # share of the channels that code the frame


def is_of_videos(key: str, shape: tuple[int, ...]) -> bool:
    """Tell whether a tensor is the filters of a patch embedding of videos, one frame deep: (D, C, 1, P, P).

    Example:
        >>> is_of_videos("encoder.patch_embed.proj.weight", (96, 6, 1, 16, 16))
        True
    """
    return len(shape) == 5 and shape[2] == 1 and _FILTERS.fullmatch(key) is not None


def flat_shape(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a tensor for images: (D, C, P, P) for filters of videos, others as they are."""
    return (*shape[:2], *shape[3:]) if is_of_videos(key, shape) else shape


def with_class_tokens_apart(names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Add a name for the class tokens after the first where one tensor holds several.

    Args:
        names: what a file calls each tensor, by its name without prefixes.
        shapes: of its class tokens, by the file's names.

    Example:
        >>> with_class_tokens_apart({"cls_token": "model.cls_token"}, {"model.cls_token": (1, 8, 768)})
        {'cls_token': 'model.cls_token', 'reg_token': 'model.cls_token'}
    """
    found = dict(names)
    for name, raw in names.items():
        shape = shapes.get(raw, ())
        if name.endswith("cls_token") and len(shape) == 3 and shape[1] > 1:
            found.setdefault(f"{name.removesuffix('cls_token')}reg_token", raw)
    return found


def rows_of(name: str, names: Mapping[str, str]) -> slice | None:
    """Return which rows of the file's tensor a class token's name stands for; `None` for all of a tensor."""
    stem = name.removesuffix("cls_token").removesuffix("reg_token")
    first, others = names.get(f"{stem}cls_token"), names.get(f"{stem}reg_token")
    if stem == name or first is None or first != others:
        return None
    return slice(0, 1) if name.endswith("cls_token") else slice(1, None)


def image_tensors(tensors: Mapping[str, Tensor], *, of_videos: bool) -> dict[str, Tensor]:
    """Return a file's tensors as those of a model of images; all as they are, where it is one.

    Args:
        tensors: by the file's names.
        of_videos: its patch embedding is one of videos: of its positions those of the first frame are kept.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    names = with_class_tokens_apart({key: key for key in tensors}, shapes)
    found = {}
    for name, raw in names.items():
        rows, tensor = rows_of(name, names), tensors[raw]
        if rows is not None:
            tensor = tensor[:, rows]
        elif is_of_videos(raw, shapes[raw]):
            tensor = tensor.squeeze(2)
        elif of_videos and name.endswith("pos_embed") and tensor.ndim == 3:
            tensor = _first_frame(tensor)
        found[name] = tensor
    return found


def has_frame_positions(positions: Tensor) -> bool:
    """Tell whether positions (1, 1 + N, D) are those of one frame of a video, of which a part is the same in each row.

    Example:
        >>> from maezoo.model.positions import first_frame_positions, sincos_positions
        >>> has_frame_positions(first_frame_positions((2, 3), 32)), has_frame_positions(sincos_positions((2, 3), 32))
        (True, False)
    """
    return _first_frame(positions).shape == positions.shape


def _first_frame(positions: Tensor) -> Tensor:
    """Return the rows of the class token and the first frame: those that the frame's channels do not tell apart."""
    frames = positions[0, 1:, round(positions.shape[2] * (1 - _TIME)) :]  # (T*N, D/4)
    differ = (frames - frames[:1]).abs().amax(dim=1) > 1e-3
    return positions[:, : 1 + int(differ.nonzero()[0])] if bool(differ.any()) else positions
