"""Which hosts of a list of urls no longer give what the list says, and how: link rot, by host and status.

In: the rejects of a labelling job over the source ``urls``, whose messages begin with the url. Out: counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pyarrow.parquet as pq

from engine.artifacts import Store


@dataclass(frozen=True, slots=True)
class HostRot:
    """Rows of the list that one host did not serve, in total and by reason, the most frequent first."""

    host: str
    rows: int
    reasons: dict[str, int]


def rot_by_host(rejects: Iterable[tuple[str, str]]) -> list[HostRot]:
    """The hosts of rejects (reason, message), the one with the most first. Messages without a url do not count.

    >>> rot_by_host([("http_404", "http://a.org/1.jpg: answered 404"), ("key_invalid", "list.tsv#3: no key")])
    [HostRot(host='a.org', rows=1, reasons={'http_404': 1})]
    """
    hosts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for reason, message in rejects:
        host = _host(message)
        if host:
            hosts[host][reason] += 1
    rot = [HostRot(host, counts.total(), dict(counts.most_common())) for host, counts in hosts.items()]
    return sorted(rot, key=lambda one: (-one.rows, one.host))


def read_rejects(store: Store) -> Iterator[tuple[str, str]]:
    """Reason and message of all rejects that the reading of a dataset's source gave, unit by unit."""
    for name in store.names("rejects"):
        with store.open(f"rejects/{name}") as file:
            table = pq.read_table(file, columns=["stage", "reason", "message"])
        for row in table.to_pylist():
            if row["stage"] == "read":
                yield row["reason"], row["message"]


def _host(message: str) -> str | None:
    if not message.startswith(("http://", "https://")):
        return None
    try:
        return urlsplit(message.partition(": ")[0]).hostname
    except ValueError:
        return None
