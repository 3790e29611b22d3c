"""Models that are written to a folder or to the hub: `MAE` and `OptimizedMAE` alike."""

from pathlib import Path

from maezoo.api.image_methods import ImageMethods
from maezoo.checkpoints.folders import describe_model, save_folder
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.hub.push import push_folder

__all__ = ["SavableModel"]


class SavableModel(ImageMethods):
    """A model that `maezoo.create` and timm read back from where it is written. See `ImageMethods` for the rest."""

    def save_pretrained(self, folder: str | Path, *, license: str | None = None) -> Path:
        """Write the model as a folder that `maezoo.create("local-dir:…")` reads back, and timm its encoder.

        timm needs no maezoo for that: `timm.create_model("local-dir:…", pretrained=True)`.

        Args:
            folder: gets model.safetensors with the encoder by timm's names, decoder/model.safetensors where there is a
                decoder, config.json and README.md.
            license: of the weights; that of their source when `None`.

        Returns:
            The folder.

        Example:
            >>> import maezoo, tempfile
            >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
            >>> sorted(path.name for path in model.save_pretrained(tempfile.mkdtemp()).iterdir())
            ['README.md', 'config.json', 'decoder', 'model.safetensors']
        """
        return save_folder(self, folder, self._describe(license))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        revision: str | None = None,
        commit_message: str = "Add model",
        token: str | None = None,
        license: str | None = None,
    ) -> str:
        """Write the model to a repository of the hub, from where `maezoo.create("hf-hub:…")` and timm read it back.

        Args:
            repo_id: `org/repo`, made when missing.
            private: of a repository that is made.
            revision: the branch.
            commit_message: of the one commit.
            token: to write with; `HF_TOKEN` or the one of `hf auth login` when `None`.
            license: of the weights; that of their source when `None`.

        Returns:
            The commit's address.
        """
        metadata = self._describe(license)
        return push_folder(
            self,
            repo_id,
            metadata,
            private=private,
            revision=revision,
            commit_message=commit_message,
            token=token,
        )

    def _describe(self, license: str | None) -> WeightsMetadata:
        """Return what a file of this model says of itself."""
        return describe_model(self, self.preprocess, license=license or self.license, origin=f"Saved from {self.name}.")
