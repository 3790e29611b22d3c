"""A model's folder on the hub."""

import tempfile

from maezoo.checkpoints.folders import save_folder
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.model import MaskedAutoencoder

__all__ = ["push_folder"]


def push_folder(
    model: MaskedAutoencoder,
    repo_id: str,
    metadata: WeightsMetadata,
    *,
    private: bool = False,
    revision: str | None = None,
    commit_message: str = "Add model",
    token: str | None = None,
) -> str:
    """Write a model's folder to a repository of the hub, made when missing, in one commit.

    Args:
        model: the autoencoder.
        repo_id: `org/repo`.
        metadata: of the model, from `describe_model`.
        private: of a repository that is made.
        revision: the branch.
        commit_message: of the commit.
        token: to write with; `HF_TOKEN` or the one of `hf auth login` when `None`.

    Returns:
        The commit's address.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="maezoo")
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        save_folder(model, folder, metadata, repo_id=repo_id)
        commit = api.upload_folder(
            repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
        )
    return str(commit.commit_url)
