"""From a pretrained encoder to timm's ViT with a head, its parts frozen or not; and back to a plain one."""

import hashlib
from functools import partial
from typing import Any, cast

import torch
from timm.layers import LayerNorm
from timm.models import VisionTransformer
from torch import Tensor, nn

from maezoo.api.factory import create
from maezoo.api.mae import MAE
from maezoo.checkpoints.folders import describe_model
from maezoo.errors import ArgumentError, MissingExtraError
from maezoo.manifest.entries import load_manifest
from maezoo.model import build_encoder
from maezoo.model.variants import VARIANTS
from maezoo.training.finetuning.recipe import FinetuneRecipe

__all__ = ["ClassifierModel", "fingerprint", "open_encoder", "preferred_weights"]

_FRESH = ("head.", "fc_norm.")
_LORA_LAYERS = r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"


def preferred_weights(name: str) -> str:
    """Return the weights that an architecture is best fine-tuned from: the normalised-pixel ones (paper, table 7).

    Example:
        >>> preferred_weights("mae_vit_base"), preferred_weights("mae_vit_tiny"), preferred_weights("local-dir:mine")
        ('mae_vit_base.in1k_normpix', 'mae_vit_tiny', 'local-dir:mine')
    """
    if name not in VARIANTS:
        return name
    entries = load_manifest().entries.values()
    return next((e.name for e in entries if e.architecture == name and e.target == "normpix"), name)


def open_encoder(name: str, img_size: int | None) -> MAE:
    """Create the pretrained encoder that is to be fine-tuned, on the CPU in float32.

    Raises:
        ArgumentError: it takes neither one nor three channels.
        UnknownModelError, WeightsNotFoundError, OfflineError, SizeError, …: see `maezoo.create`.
    """
    mae = create(preferred_weights(name), pretrained=True, device="cpu", decoder=False, img_size=img_size)
    if mae.in_chans not in (1, 3):
        raise ArgumentError(
            f"{name} takes {mae.in_chans} channels; image files have 3, or 1 for grey ones. Fine-tune it in a loop of "
            "your own, with timm.create_model.",
            expected=(1, 3),
            found=mae.in_chans,
        )
    return mae


def fingerprint(mae: MAE) -> str:
    """Return a hash of a piece of each tensor: enough to tell weights apart."""
    digest = hashlib.sha256()
    for name, value in sorted(mae.encoder.state_dict().items()):
        digest.update(name.encode() + value.flatten()[:64].contiguous().numpy().tobytes())
    return digest.hexdigest()


class ClassifierModel:
    """A pretrained encoder with a fresh head: a plain timm ViT, except for what a recipe adds while it is trained.

    Args:
        mae: the encoder; not changed.
        classes: how many there are.
        recipe: pooling, drop path, and what is trained. The head is drawn from its seed.

    Raises:
        MissingExtraError: LoRA is asked for and peft is not installed.

    Example:
        >>> model = ClassifierModel(open_encoder("mae_vit_tiny", None), 5, FinetuneRecipe(tune="last-block"))
        >>> sorted({name.split(".")[0] for name, p in model.vit.named_parameters() if p.requires_grad})
        ['blocks', 'fc_norm', 'head']
    """

    def __init__(self, mae: MAE, classes: int, recipe: FinetuneRecipe) -> None:
        self.recipe = recipe
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(recipe.seed)
            self.vit = _vit_of(mae, classes, recipe)
            self._lora = _with_lora(self.vit, recipe.lora) if recipe.lora else None
        _freeze(self.vit, recipe)

    def finished(self) -> VisionTransformer:
        """Return the plain ViT: low-rank updates merged into the matrices, a probe's normalisation into the head."""
        if self._lora is not None:
            self.vit = self._lora.merge_and_unload()
            self._lora = None
        head: Any = self.vit.head
        if isinstance(head, nn.Sequential):
            self.vit.head = _folded(cast(nn.BatchNorm1d, head[0]), cast(nn.Linear, head[1]))
        return self.vit.requires_grad_(True).eval()


def _vit_of(mae: MAE, classes: int, recipe: FinetuneRecipe) -> VisionTransformer:
    """Build the ViT and fill it; the head is fresh, and so is the norm after a mean, where the trained one is left."""
    mean, probe = recipe.pool == "mean", recipe.tune == "head"
    fresh_norm = mean and not probe  # frozen features need the trained norm
    epsilon: Any = mae.encoder.norm.eps
    vit = build_encoder(
        describe_model(mae, mae.preprocess).variant,
        num_classes=classes,
        in_chans=mae.in_chans,
        img_size=mae.img_size,
        global_pool="avg" if mean else "token",
        fc_norm=fresh_norm,
        drop_path_rate=recipe.drop_path,
        norm_layer=partial(LayerNorm, eps=epsilon),
    )
    trained = {
        name: value for name, value in mae.encoder.state_dict().items() if not (fresh_norm and name.startswith("norm."))
    }
    fresh = {name: value for name, value in vit.state_dict().items() if name.startswith(_FRESH)}
    vit.load_state_dict(trained | fresh)  # strict: all keys are accounted for
    head = cast(nn.Linear, vit.head)
    nn.init.trunc_normal_(head.weight, std=0.01 if probe else 2e-5)
    nn.init.zeros_(head.bias)
    if probe:
        vit.head = nn.Sequential(  # type: ignore[assignment]
            nn.BatchNorm1d(vit.num_features, affine=False, eps=1e-6), head
        )
    return vit


def _freeze(vit: VisionTransformer, recipe: FinetuneRecipe) -> None:
    """Let gradients reach only what the recipe trains."""
    depth = len(vit.blocks)
    tuned = recipe.tuned_blocks(depth)
    if tuned == depth and not recipe.lora:
        return
    last = () if recipe.lora else tuple(f"blocks.{number}." for number in range(depth - tuned, depth))
    fresh = ("head.",) if recipe.tune == "head" else (*_FRESH, "norm.")
    for name, parameter in vit.named_parameters():
        parameter.requires_grad_(name.startswith((*last, *fresh)) or ".lora_" in name)


def _with_lora(vit: VisionTransformer, rank: int) -> Any:
    """Add low-rank updates to the matrices of the blocks, in place; return peft's wrapper, which can merge them."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtraError.for_extra("lora", "--lora") from error
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_LORA_LAYERS, bias="none")
    module: Any = vit
    return get_peft_model(module, config)


def _folded(norm: nn.BatchNorm1d, head: nn.Linear) -> nn.Linear:
    """Return one linear layer that does what a normalisation by running statistics and a head do."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    with torch.no_grad():
        scale = (variance + norm.eps).rsqrt()
        folded = nn.Linear(head.in_features, head.out_features, device=head.weight.device)
        folded.weight.copy_(head.weight * scale)
        folded.bias.copy_(head.bias - folded.weight @ mean)
    return folded
