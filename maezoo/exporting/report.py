"""What an export wrote, and how far it is from eager PyTorch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maezoo.exporting.facts import Facts

__all__ = ["Comparison", "ExportReport"]


@dataclass(frozen=True)
class Comparison:
    """One batch of photographs in the target runtime against eager PyTorch in float32.

    Attributes:
        batch: images.
        img_size: (H, W).
        difference: largest absolute difference over all outputs.
        relative: largest difference of an output, divided by its largest value.
        cosine: least cosine of an image's outputs.
    """

    batch: int
    img_size: tuple[int, int]
    difference: float
    relative: float
    cosine: float


@dataclass(frozen=True)
class ExportReport:
    """What `maezoo.export` returns; `print` it.

    Attributes:
        path: the file to open.
        files: every file that belongs to it, with its bytes; keep them together.
        facts: what the file says of itself.
        comparisons: the check, one for each batch.
    """

    path: Path
    files: Mapping[Path, int]
    facts: Facts
    comparisons: tuple[Comparison, ...]

    @property
    def difference(self) -> float:
        """The largest absolute difference from eager PyTorch."""
        return max(each.difference for each in self.comparisons)

    @property
    def cosine(self) -> float:
        """The least cosine to eager PyTorch."""
        return min(each.cosine for each in self.comparisons)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {
            "path": str(self.path),
            "files": {str(path): size for path, size in self.files.items()},
            "difference": self.difference,
            "cosine": self.cosine,
            "comparisons": [asdict(each) for each in self.comparisons],
            "facts": {**asdict(self.facts), "preprocess": self.facts.preprocess.to_dict()},
        }

    def __str__(self) -> str:
        """Return a line for each file and each comparison."""
        lines = [f"{path}  {size / 1e6:,.1f} MB" for path, size in self.files.items()]
        for each in self.comparisons:
            H, W = each.img_size
            lines.append(
                f"batch {each.batch}, {H}x{W}: largest difference from eager float32 {each.difference:.1e}, "
                f"cosine {each.cosine:.6f}"
            )
        return "\n".join(lines)
