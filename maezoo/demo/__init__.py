"""The page behind `maezoo demo`: hide patches of a photo and see what the model makes of it.

`served` runs it on this machine; it needs the extra `demo`. `Studio` does the work without any page.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
