"""The files of a dataset one by one, and a dataset as what its manifests commit. Readers take :mod:`engine.shards`."""
