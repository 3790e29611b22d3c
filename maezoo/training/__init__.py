"""Pretraining: the paper's recipe with its numbers as arguments, resumable to the bit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
