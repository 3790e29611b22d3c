"""`hf-hub:org/repo[@revision]`: any repository of the hub, with the configuration files next to its weights."""

from dataclasses import dataclass
from pathlib import Path

from maezoo.checkpoints.configs import CONFIG, PREPROCESSOR, read_json
from maezoo.checkpoints.index import INDEX
from maezoo.checkpoints.metadata import WEIGHTS
from maezoo.errors import UnknownModelError, WeightsNotFoundError
from maezoo.hub.cache import HubCache
from maezoo.hub.client import HubFile
from maezoo.hub.fetching import fetch
from maezoo.hub.files import fetch_file
from maezoo.hub.models import fetch_model
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.manifest.licensing import acknowledge_license
from maezoo.manifest.names import path_problem, repo_problem, short

__all__ = ["HUB", "Repository"]

HUB = "hf-hub:"


@dataclass(frozen=True)
class Repository:
    """A repository at a revision.

    Attributes:
        repo_id: `org/repo`.
        revision: a commit, branch, tag or ref; the main branch when `None`.
    """

    repo_id: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo_id if self.revision is None else f"{self.repo_id}@{self.revision}"

    @classmethod
    def parse(cls, text: str) -> "Repository":
        """Read `org/repo` or `org/repo@revision`.

        Raises:
            UnknownModelError: it is neither.

        Example:
            >>> Repository.parse("zoo/tiny@v1").revision
            'v1'
        """
        repo_id, at, revision = text.partition("@")
        problem = "must be org/repo" if repo_id.count("/") != 1 else repo_problem(repo_id)
        if problem:
            message = f"{HUB}{short(text)}: the repository {problem}; write hf-hub:org/repo[@revision]."
            raise UnknownModelError(message, reason=problem, expected="hf-hub:org/repo[@revision]", found=text)
        if at and (problem := path_problem(revision)):
            message = f"{HUB}{short(text)}: the revision {problem}; name a commit, a branch or a tag."
            raise UnknownModelError(message, reason=problem, found=text)
        return cls(repo_id, revision if at else None)

    def entry(self) -> WeightsEntry | None:
        """Return the manifest's entry for this repository: of this revision, if several have it.

        Raises:
            UnknownModelError: several entries are files of this repository, so that it does not say which is meant.
        """
        entries = [entry for entry in load_manifest().entries.values() if entry.repo_id == self.repo_id]
        entries.sort(key=lambda entry: entry.revision != self.revision)
        if len({entry.filename for entry in entries}) > 1:
            names = [entry.name for entry in entries]
            message = f"{HUB}{self.repo_id} has several weights; name one of them: {', '.join(names)}."
            raise UnknownModelError(message, found=self.repo_id, expected=tuple(names), suggestions=names)
        return entries[0] if entries else None

    def file(self, filename: str) -> HubFile:
        """Return one of its files."""
        return HubFile(self.repo_id, self.revision or "main", filename)

    def fetch(self, *, decoder: bool = False, cache_dir: str | Path | None = None, offline: bool | None = None) -> Path:
        """Return its weights file, or the index of several, verified.

        The manifest's pins and licences hold for the manifest's repositories.

        Args:
            decoder: fetch the decoder too, where it has a file of its own.
            cache_dir: where downloads are kept; huggingface_hub's cache when `None`.
            offline: never ask the network; `None` follows `HF_HUB_OFFLINE`.

        Raises:
            WeightsNotFoundError, OfflineError, IntegrityError, LicenseError: see `maezoo.fetch`.
        """
        known = self.entry()
        if known is not None and self.revision in (None, known.revision):
            return fetch(known, decoder=decoder, cache_dir=cache_dir, offline=offline)
        if known is not None and known.noncommercial:
            acknowledge_license(known.name, known.license, known.license_note)
        whole, index = self.file(WEIGHTS), self.file(f"{WEIGHTS}{INDEX}")
        command = f"maezoo download {HUB}{self}"
        cache = HubCache.at(cache_dir)
        if cache.find(whole) is None and cache.find(index) is not None:
            return fetch_model(index, cache_dir=cache_dir, offline=offline, command=command)
        try:
            return fetch_model(whole, decoder=decoder, cache_dir=cache_dir, offline=offline, command=command)
        except WeightsNotFoundError as error:
            if (error.reason, error.url) != ("no such file", whole.url):
                raise
            missing = error
        try:
            return fetch_model(index, cache_dir=cache_dir, offline=offline, command=command)
        except WeightsNotFoundError as error:
            if (error.reason, error.url) != ("no such file", index.url):
                raise
        raise _without_safetensors(self, missing) from missing

    def fetch_configs(self, weights: Path, *, cache_dir: str | Path | None = None, offline: bool | None = None) -> None:
        """Fetch the configuration files of the commit that a weights file belongs to, so that they are next to it.

        Args:
            weights: the cached file; its folder is called by its commit.
            cache_dir: as for the weights.
            offline: as for the weights.

        Raises:
            WeightsNotFoundError, OfflineError: there is none, or it cannot be fetched.
        """
        commit = Repository(self.repo_id, weights.parent.name)
        path = fetch_file(commit.file(CONFIG), cache_dir=cache_dir, offline=offline)
        if "hidden_size" in (read_json(path) or {}):  # transformers keeps the preparation in a second file
            fetch_file(commit.file(PREPROCESSOR), cache_dir=cache_dir, offline=offline)


def _without_safetensors(repository: Repository, missing: WeightsNotFoundError) -> WeightsNotFoundError:
    """Word the error for a repository that has neither model.safetensors nor an index."""
    command = f"hf download {repository.repo_id} --local-dir FOLDER"
    return WeightsNotFoundError(
        f"{missing} Nor is there an index of several files. maezoo loads nothing else from the hub: if the repository "
        f"has a .bin or .pth file, `{command}`, then `maezoo convert FOLDER OUTPUT`.",
        reason=missing.reason,
        expected=WEIGHTS,
        url=missing.url,
        command=command,
    )
