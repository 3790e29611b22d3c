"""Lists of names that notebooks show as tables. No torch here: the command line prints the same columns."""

from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.model.variants import VARIANTS, Variant
from maezoo.notebooks import html_table
from maezoo.wording import bytes_text

__all__ = ["ENTRY_COLUMNS", "ModelNames", "PretrainedNames", "entry_row"]

ENTRY_COLUMNS = ("name", ">params", "target", "decoder", ">size", "licence", "input")
_MODEL_COLUMNS = ("name", "input", ">patch", ">width", ">blocks", ">heads", "default weights")


def entry_row(entry: WeightsEntry) -> tuple[str, ...]:
    """Return an entry's cells, in the order of the columns."""
    return (
        entry.name,
        f"{entry.num_params / 1e6:.1f} M",
        entry.target,
        "yes" if entry.has_decoder else "no",
        bytes_text(entry.size),
        entry.license + ("*" if entry.license_note else ""),
        "x".join(map(str, entry.preprocess.size)),
    )


class PretrainedNames(list[str]):
    """Names of weights; a notebook shows what each is."""

    def _repr_html_(self) -> str:
        entries = load_manifest().entries
        known = [entries[name] for name in self if name in entries]
        note = "* disputed licence: see maezoo.info(name)" if any(entry.license_note for entry in known) else ""
        return html_table(map(entry_row, known), columns=ENTRY_COLUMNS, below=note if known else "no weights")


class ModelNames(list[str]):
    """Names of architectures; a notebook shows their sizes."""

    def _repr_html_(self) -> str:
        known = [VARIANTS[name] for name in self if name in VARIANTS]
        return html_table(map(_model_row, known), columns=_MODEL_COLUMNS, below="" if known else "no architecture")


def _model_row(variant: Variant) -> tuple[object, ...]:
    """Return an architecture's cells, in the order of the columns."""
    side, tag = variant.img_size, load_manifest().defaults.get(variant.name)
    default = f"{variant.name}.{tag}" if tag else ""
    numbers = (variant.patch_size, variant.embed_dim, variant.depth, variant.num_heads)
    return (variant.name, f"{side}x{side}", *numbers, default)
