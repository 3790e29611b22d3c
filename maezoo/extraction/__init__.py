"""From folders, lists and tar shards of images to Parquet: resumable, on one machine or on Ray.

    sources   a folder, a list (`lists`), tar shards (`tars`) or a URI (`remote`)
      -> items    the numbered list of images, and how the bytes of one are fetched
      -> decode   a chunk of items becomes pixels and rows; what cannot be read becomes one of `failures`
      -> embed    pixels become embeddings, on the model that `encoder` has opened
      -> shards   rows and embeddings of a range: one table (`arrow`), one Parquet file
      -> store    the output folder, here or on cloud storage, locked for one run

`run` is the entrance: it fixes the `settings`, begins or resumes a `job` (`resume`), which knows what is missing and
puts the pieces together, and lets an engine make them: `local`, with `workers` that decode as this process would
(`pillow`), or `ray_engine`. `result` is what it reports.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
