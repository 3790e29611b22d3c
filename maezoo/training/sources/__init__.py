"""Images to train on: folders, lists, tar shards, Parquet files and packs; with labels or without."""
