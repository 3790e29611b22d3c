"""Pretraining: the paper's recipe with its numbers as arguments, resumable to the bit."""

from maezoo.training.data import FolderImages, ImageSource, PackedImages, open_source, write_pack
from maezoo.training.recipe import Recipe
from maezoo.training.trainer import Progress, pretrain

__all__ = ["FolderImages", "ImageSource", "PackedImages", "Progress", "Recipe", "open_source", "pretrain", "write_pack"]
