"""Lists of names that notebooks show as tables. No torch here: the command line prints the same columns."""

from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.manifest.support import obstacles
from maezoo.model.variants import VARIANTS, Variant
from maezoo.notebooks import html_table
from maezoo.wording import bytes_text

__all__ = ["ENTRY_COLUMNS", "ModelNames", "PretrainedNames", "entry_row"]

ENTRY_COLUMNS = ("name", ">params", "decoder", ">size", "licence", "loads", "field", "target", "input")
_LONGEST = 16  # characters of a licence in a table
_MODEL_COLUMNS = ("name", "input", ">patch", ">width", ">blocks", ">heads", "default weights")


def entry_row(entry: WeightsEntry) -> tuple[str, ...]:
    """Return an entry's cells, in the order of the columns."""
    return (
        entry.name,
        f"{entry.num_params / 1e6:.1f} M",
        "yes" if entry.has_decoder else "no",
        bytes_text(entry.size),
        _license_text(entry),
        "not yet" if obstacles(entry) else "gated" if entry.gated else "yes",
        entry.field,
        entry.target or "not stated",
        entry.input_text,
    )


def _license_text(entry: WeightsEntry) -> str:
    """Return a licence as a table has room for it; `info` has all of it."""
    name = "non-commercial" if entry.noncommercial and len(entry.license) > _LONGEST else entry.license
    return name + ("*" if entry.license_note else "")


class PretrainedNames(list[str]):
    """Names of weights; a notebook shows what each is."""

    def _repr_html_(self) -> str:
        entries = load_manifest().entries
        known = [entries[name] for name in self if name in entries]
        note = "* a note on the licence: see maezoo.info(name)" if any(entry.license_note for entry in known) else ""
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
