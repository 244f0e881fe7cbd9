"""The file system of a source's address, through fsspec: this machine's, an object store's, or the web's.

In: a path or a URI. Out: its file system. On the web, the environment's proxies are asked (``http_proxy``,
``https_proxy``, with the exceptions of ``no_proxy``), as by curl; fsspec alone ignores them.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import fsspec


async def _session(**options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(**({"trust_env": True} | options))


def file_system_at(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of ``uri``, and the path in it. ImportError where a package for it is not installed."""
    is_web = uri.startswith(("http://", "https://"))
    system, path = fsspec.core.url_to_fs(uri, **({"get_client": _session} if is_web else {}))
    return system, str(path)


def web(timeout: aiohttp.ClientTimeout) -> fsspec.AbstractFileSystem:
    """The file system of the web, with these limits for a request."""
    return fsspec.filesystem("http", client_kwargs={"timeout": timeout}, get_client=_session)
