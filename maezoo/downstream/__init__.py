"""Encoders put to work: a feature pyramid for detection and segmentation, features as a scikit-learn transformer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
