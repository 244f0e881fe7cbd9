"""The file system of a store, by its address: this machine's, or an object store's, through fsspec.

In: a path or a URL. Out: the file system and the path in it. The packages of object stores are extras.
"""

from __future__ import annotations

import fsspec


def file_system_of(root: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of the address ``root``, and the path in it. Listings are not cached, since other processes write
    there too. ValueError where no installed package knows the address."""
    try:
        files, path = fsspec.core.url_to_fs(root, use_listings_cache=False)
    except ImportError as error:
        raise ValueError(
            f"{root} needs a package that is not installed here ({error}); for S3 it is the extra s3"
        ) from None
    except ValueError as error:
        raise ValueError(f"{root} is no address of a folder or of an object store such as s3://: {error}") from None
    return files, str(path)
