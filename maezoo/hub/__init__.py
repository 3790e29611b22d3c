"""Verified files, in the cache or from the hub."""
