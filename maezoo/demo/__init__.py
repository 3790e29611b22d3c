"""The page of `maezoo demo`: hide patches of a photo and see the reconstruction.

`served` runs the page on this machine; it needs the extra `demo`. `Studio` does the work without a page.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
