"""The patch embedding of an encoder: what it says of itself, and all patches or the visible ones embedded by it."""

from typing import Any, cast

from timm.layers import PatchEmbed
from torch import Tensor, nn
from torch.nn import functional as F

from maezoo.model.patches import PatchedImages

__all__ = ["attribute_of", "channels_of", "embed_patches", "embed_visible", "select"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def attribute_of(module: nn.Module, name: str) -> Any:
    """Return an attribute of a module, or of the first within it that has it: layers may be wrapped by adapters.

    Raises:
        AttributeError: none has it.

    Example:
        >>> attribute_of(nn.Sequential(nn.Identity(), nn.Conv2d(5, 2, 3)), "in_channels")
        5
    """
    if hasattr(module, name):
        return getattr(module, name)
    for part in module.modules():
        if hasattr(part, name):
            return getattr(part, name)
    raise AttributeError(f"neither {type(module).__name__} nor a module within it has {name!r}.")


def channels_of(embedding: nn.Module) -> int:
    """Return how many channels a patch embedding takes; of several convolutions, the widest sees the images."""
    projection = getattr(embedding, "proj", None)
    if not hasattr(projection, "in_channels"):
        convolutions = [part for part in embedding.modules() if hasattr(part, "in_channels")]
        if not convolutions:
            raise AttributeError("the patch embedding holds no convolution that says how many channels it takes.")
        projection = max(convolutions, key=lambda part: cast(tuple[int, int], part.kernel_size))
    return int(cast(nn.Conv2d, projection).in_channels)


def embed_patches(embedding: nn.Module, images: Tensor) -> Tensor:
    """Embed all patches: (B, C, H, W) -> (B, N, D).

    timm's own layer refuses images of another size than its own; its parts do not. A layer that was replaced, wrapped
    or hooked is called as it is.
    """
    if type(embedding) is PatchEmbed and _is_plain(embedding):
        x = embedding.proj(images).flatten(2).transpose(1, 2)  # (B, N, D)
        normed: Tensor = embedding.norm(x)
        return normed
    tokens: Tensor = embedding(images)
    return tokens.flatten(1, 2) if tokens.ndim == 4 else tokens  # (B, h, w, D) where the size is dynamic


def embed_visible(embedding: nn.Module, batch: PatchedImages, visible: Tensor) -> Tensor:
    """Embed the visible patches: B images, (B, K) -> (B, K, D).

    A plain convolution is one linear layer for each patch, so hidden patches need not be computed. Anything else
    (an adapter, a hook, a parametrisation) is called on the full image, and the visible patches are selected.
    """
    if not (type(embedding) is PatchEmbed and _is_plain(embedding) and _is_linear(embedding.proj)):
        return select(embed_patches(embedding, batch.images), visible)
    projection = embedding.proj
    weight = projection.weight.permute(0, 2, 3, 1).flatten(1)  # (D, P*P*C), channels last as in patchify
    patches = select(batch.patches, visible)  # (B, K, P*P*C)
    normed: Tensor = embedding.norm(F.linear(patches, weight, projection.bias))
    return normed


def select(x: Tensor, indices: Tensor) -> Tensor:
    """Pick rows along the second axis: (B, N, L), (B, K) -> (B, K, L)."""
    return x.gather(1, indices[:, :, None].expand(-1, -1, x.shape[2]))


def _is_plain(module: nn.Module) -> bool:
    """Tell whether calling a module is computing its own forward and nothing else."""
    return "forward" not in vars(module) and not any(getattr(module, hooks) for hooks in _HOOKS)


def _is_linear(projection: nn.Module) -> bool:
    """Tell whether a projection is a plain convolution of patches that lie side by side."""
    return (
        type(projection) is nn.Conv2d
        and _is_plain(projection)
        and projection.kernel_size == projection.stride
        and projection.kernel_size[0] == projection.kernel_size[1]
        and projection.padding in ((0, 0), "valid")
        and (projection.dilation, projection.groups) == ((1, 1), 1)
    )
