"""What a file's surroundings say of it: enough to build its model, or an error that says what to add."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from maezoo.errors import LayoutError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.entries import WeightsEntry
from maezoo.model.variants import VARIANTS, Variant
from maezoo.vocabulary import Target

__all__ = ["Description", "infer_variant"]


@dataclass(frozen=True)
class Description:
    """What is known of weights before a tensor is read; `None` where nobody says.

    Attributes:
        variant: the architecture.
        target: what the decoder was trained to predict.
        preprocess: how images are prepared.
        license: of the weights.
        origin: where they come from, in words.
    """

    variant: Variant | None = None
    target: Target | None = None
    preprocess: Preprocessing | None = None
    license: str | None = None
    origin: str | None = None

    @classmethod
    def of_entry(cls, entry: WeightsEntry) -> "Description":
        """Describe the weights of a manifest's entry."""
        return cls(VARIANTS.get(entry.architecture), entry.target, entry.preprocess, entry.license, entry.name)

    def filled_from(self, other: "Description") -> "Description":
        """Return this description, what it lacks taken from another."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return Description(**{name: getattr(other, name) if value is None else value for name, value in pairs})

    def require(self, where: object, how: str) -> tuple[Variant, Target, Preprocessing]:
        """Return architecture, target and preprocessing; nothing is ever assumed.

        Args:
            where: what the error calls the weights.
            how: how the user can say what is missing.

        Raises:
            LayoutError: one of them is not known; the message names it.
        """
        if self.variant is not None and self.target is not None and self.preprocess is not None:
            return self.variant, self.target, self.preprocess
        facts = {
            "which architecture it is": self.variant,
            "what its decoder was trained to predict (target)": self.target,
            "how its images are prepared (preprocess)": self.preprocess,
        }
        missing = " nor ".join(fact for fact, value in facts.items() if value is None)
        raise LayoutError(f"{where} does not say {missing}. {how}")


def infer_variant(shapes: Mapping[str, tuple[int, ...]], heads: Iterable[Variant] = ()) -> Variant | None:
    """Tell the architecture from the shapes of its tensors; heads leave no trace there, so a known one must match.

    Args:
        shapes: by our keys.
        heads: more architectures to compare with, besides the zoo's.

    Returns:
        The architecture, or `None` when no known one has these numbers.

    Example:
        >>> blocks = {f"encoder.blocks.{i}.norm1.bias": (768,) for i in range(12)}
        >>> infer_variant({"encoder.patch_embed.proj.weight": (768, 3, 16, 16), **blocks}).name
        'mae_vit_base'
    """
    patch = shapes.get("encoder.patch_embed.proj.weight", (0, 0, 0, 0))
    embed = shapes.get("decoder.embed.weight")
    numbers = (patch[0], patch[-1], _depth(shapes, "encoder"))
    decoder = (embed[0], _depth(shapes, "decoder")) if embed is not None else None
    for variant in (*VARIANTS.values(), *heads):
        encoder_fits = numbers == (variant.embed_dim, variant.patch_size, variant.depth)
        if encoder_fits and decoder in (None, (variant.decoder_dim, variant.decoder_depth)):
            return variant
    return None


def _depth(shapes: Mapping[str, tuple[int, ...]], part: str) -> int:
    """Count the blocks of a part."""
    return len({key.split(".")[2] for key in shapes if key.startswith(f"{part}.blocks.")})
