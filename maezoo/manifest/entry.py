"""One entry of the manifest: all that is known of one published weight. No torch here."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maezoo.images.preprocessing import Preprocessing
from maezoo.model.facts import PAPER, Facts
from maezoo.notebooks import html_table
from maezoo.vocabulary import Field, Layout, Part, Pool, Target
from maezoo.wording import bytes_text

__all__ = ["WeightsEntry"]


@dataclass(frozen=True)
class WeightsEntry:
    """All that is known of one published weight; `None` for what is not known.

    Attributes:
        name: `architecture.tag`.
        architecture: the architecture's name.
        repo_id: the hub's repository; `None` for a file inside the package.
        revision: the commit of that repository (or the ref, where its commit is unknown).
        filename: the file in that repository.
        package_file: the file inside the package, in place of a repository.
        size: bytes.
        sha256: 64 hex digits.
        layout: how the file names its tensors.
        parts: what it holds.
        target: what its decoder was trained to predict; also the training of an encoder alone.
        preprocess: how images are prepared for it.
        facts_of_model: what the weights ask of the model, beyond the architecture's numbers; `facts` in the manifest.
        unstated: what no source states (`"preprocess.mean"`, `"facts.pooling"`, …), so that defaults stand there.
        field: what kind of pictures it was trained on.
        license: as stated where the file is published.
        license_note: where sources disagree.
        noncommercial: the licence, or a plausible reading of it, forbids commercial use.
        gated: whether the hub gives the file only to those who accepted its terms.
        source_url: the page of the file.
        sources: where each group of facts was read, by field.
        page: the name of its page in `docs/models`.
        paper: the paper's page.
        metrics: published or measured numbers, each with its source.
        training: how it came to be, where that is known: data, command, views, time, machine.
        num_params: parameters, fixed positions included.
        notes: what else a user should know.
    """

    name: str
    architecture: str
    layout: Layout
    parts: tuple[Part, ...]
    target: Target | None
    preprocess: Preprocessing
    license: str
    num_params: int
    facts_of_model: Facts = PAPER
    unstated: tuple[str, ...] = ()
    field: Field = "photos"
    repo_id: str | None = None
    revision: str | None = None
    filename: str | None = None
    package_file: str | None = None
    size: int | None = None
    sha256: str | None = None
    license_note: str | None = None
    noncommercial: bool = False
    gated: bool = False
    source_url: str | None = None
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    page: str | None = None
    paper: str | None = None
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: str | None = None

    @property
    def tag(self) -> str:
        """The part of the name after the dot."""
        return self.name.removeprefix(f"{self.architecture}.")

    @property
    def has_decoder(self) -> bool:
        """Whether the file can reconstruct."""
        return "decoder" in self.parts

    @property
    def url(self) -> str | None:
        """The page of the file's repository at its revision, on the public hub."""
        return f"https://huggingface.co/{self.repo_id}/tree/{self.revision}" if self.repo_id else None

    @property
    def pooling(self) -> Pool | None:
        """The pooled vector that the authors use; `None` where nobody says."""
        return None if "facts.pooling" in self.unstated else self.facts_of_model.pooling

    @property
    def input_text(self) -> str:
        """Channels, height and width of the input, such as `"13x224x224"`."""
        return "x".join(map(str, (self.facts_of_model.in_chans, *self.preprocess.size)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data in the manifest's own shape, with the name."""
        data = {key: getattr(self, key) for key in self.__dataclass_fields__ if key != "unstated"}
        data["facts"] = data.pop("facts_of_model").to_dict()
        for key in ("sources", "metrics", "training"):
            data[key] = dict(data[key])
        data |= {"parts": list(self.parts), "preprocess": self.preprocess.to_dict()}
        for name in self.unstated:
            group, _, key = name.partition(".")
            data[group][key] = None
        return data

    def facts(self) -> list[tuple[str, str]]:
        """List what is known, for people, as (label, text)."""
        metrics = [("metrics", f"{name}: {_metric(value)}") for name, value in self.metrics.items()]
        facts = [
            ("name", self.name),
            ("field", self.field),
            ("holds", " + ".join(self.parts)),
            ("target", {"pixel": "pixels", "normpix": "pixels normalised per patch", None: "not stated"}[self.target]),
            ("parameters", f"{self.num_params:,}"),
            *self._model_rows(),
            ("file", self.package_file or f"{self.filename} of {self.repo_id} at {self.revision}"),
            ("size", bytes_text(self.size)),
            ("sha256", self.sha256 or "not known; the hub's own is used"),
            ("licence", self.license + (" (non-commercial)" if self.noncommercial else "")),
            ("licence note", self.license_note or ""),
            ("access", f"gated: accept its terms at {self.source_url}, then `hf auth login`" if self.gated else ""),
            ("source", self.source_url or ""),
            ("paper", self.paper or ""),
            *(metrics or [("metrics", "not measured")]),
            *(("training", f"{name}: {value}") for name, value in self.training.items()),
            ("notes", self.notes or ""),
            *(("stated at", f"{name}: {url}") for name, url in self.sources.items()),
        ]
        return [(label, text) for label, text in facts if text]

    def _model_rows(self) -> list[tuple[str, str]]:
        """List what goes in and what comes out, as (label, text)."""
        rule = {name: getattr(self.preprocess, name) for name in ("resize", "interpolation")}
        stated = [value for name, value in rule.items() if f"preprocess.{name}" not in self.unstated]
        other = {key: value for key, value in self.facts_of_model.to_dict().items() if value != getattr(PAPER, key)}
        return [
            ("input", ", ".join((self.input_text, *stated))),
            ("bands", ", ".join(self.preprocess.bands or ())),
            ("values", self._values_text()),
            ("model", ", ".join(f"{key} {value}" for key, value in other.items() if key != "in_chans")),
            ("not stated", ", ".join(self.unstated)),
        ]

    def _values_text(self) -> str:
        """Say which values the input has where it is no picture; empty for pictures."""
        window = self.preprocess.window
        if self.preprocess.kind == "sound":
            return "natural log-mel energies, frames x bands"
        if self.preprocess.bands is None or isinstance(window, str):
            return ""
        low, high = (end if isinstance(end, tuple) else (end,) for end in window)
        ranges = ", ".join(f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        order = " in this order" if len(low) > 1 else ""
        return f"{ranges}{order}{'; others are cut off' if self.preprocess.clip else ''}"

    def __repr__(self) -> str:
        """Say it in one line."""
        facts = (
            self.name,
            self.field,
            " + ".join(self.parts),
            self.target or "target not stated",
            self.input_text,
            f"{self.num_params / 1e6:.1f} M parameters",
            self.license,
        )
        return f"WeightsEntry({', '.join(facts)})"

    def _repr_html_(self) -> str:
        """Show all that is known in notebooks."""
        return html_table(self.facts())


def _metric(value: Any) -> str:
    """Write a metric with its source."""
    return f"{value['value']} ({value['source']})" if isinstance(value, dict) and "value" in value else str(value)
