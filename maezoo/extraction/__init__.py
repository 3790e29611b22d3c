"""From folders, lists and tar shards of images to Parquet: resumable, on one machine or on Ray.

`maezoo.extract` is this package, and calling it is `maezoo.extraction.run.extract`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
