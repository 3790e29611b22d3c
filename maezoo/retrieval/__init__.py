"""What extracted features find: the images nearest to another one, and duplicates.

    embeddings       an extraction's output, read a batch at a time; the mean of its embeddings
      -> nearest     search(): the nearest images to a picture, which is embedded as the output was
      -> grouping    dedup(): groups of images that are alike, which `duplicates` writes

Similarity is the cosine of centred embeddings: the mean of all is subtracted first. Vectors of a masked autoencoder
share a large common part, so that without centring any two of them look alike.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
