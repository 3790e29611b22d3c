"""Verified files: in the package, in the cache, or from the hub."""
