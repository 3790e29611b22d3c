"""Files and the network: manifest, hub, layouts, loading and saving. No forward pass."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
