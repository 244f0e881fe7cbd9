"""What a list of urls may not reach, and what it may not take: private addresses, pictures whose owners opted out."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from source_outcomes import list_of, outcomes, reasons

from engine.sources.addresses import is_public
from engine.sources.opt_out import forbidding_directive


def test_private_addresses_are_refused_by_default_and_nothing_is_asked(bad_server: Any, tmp_path: Path) -> None:
    hosts = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0.0.0.0")
    path = list_of(tmp_path / "list.jsonl", [bad_server.url("/picture/1", host) for host in hosts])
    found = reasons(outcomes(path, allow_private=False))
    assert found[:3] == ["private_address"] * 3
    assert set(found[3:]) <= {"private_address", "dns_failed", "url_invalid"}
    assert not bad_server.asked


def test_a_name_that_resolves_to_a_public_and_then_to_a_private_address_is_refused(
    bad_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: whoever looks first sees 8.8.8.8, the connection itself gets loopback."""
    answers = iter([["8.8.8.8"], *[["127.0.0.1"]] * 20])
    real = socket.getaddrinfo
    rebound = lambda host, port, *rest, **more: [  # noqa: E731
        item for address in next(answers) for item in real(address, port, *rest, **more)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    socket.getaddrinfo("rebind.example", bad_server.port)  # the first look
    path = list_of(tmp_path / "list.jsonl", [bad_server.url("/picture/1", "rebind.example")])
    assert reasons(outcomes(path, allow_private=False)) == ["private_address"]
    assert not bad_server.asked


def test_a_redirect_into_the_private_network_is_refused_where_it_leads(
    bad_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host counts as public here, so that only the check at the redirect's own connection is left."""
    import engine.sources.addresses as addresses

    real = addresses.is_public
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1" or real(address))
    target = f"/to/1?url=http://127.0.0.2:{bad_server.port}/picture/1"
    path = list_of(tmp_path / "list.jsonl", [bad_server.url("/picture/1"), bad_server.url(target)])
    assert reasons(outcomes(path, allow_private=False)) == ["ok", "private_address"]


NOT_PUBLIC = """
127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 0.0.0.0
168.63.129.16 192.0.0.192 224.0.0.1 255.255.255.255 ::1 :: fe80::1%eth0 fd00:ec2::254
::127.0.0.1 ::ffff:0:127.0.0.1 fec0::1 5f00::1 3fff::1
::ffff:10.0.0.1 64:ff9b::a9fe:a9fe 2002:7f00:1:: ff02::1 2001:db8::1 2001:0:4136:e378:8000:63bf:3f57:fefe
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_addresses_that_are_not_of_the_public_internet_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], None),
        (["noai"], "noai"),
        (["max-snippet: 20, noai"], "noai"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST"], None),
        (["googlebot: noai, noimageai"], None),
        (["*: noai"], "noai"),
        (["GLIP-Engine: noimageai"], "noimageai"),
        (["none", "noarchive, noai"], "noai"),
    ],
)
def test_the_robots_tag_is_read_by_its_grammar(values: list[str], found: str | None) -> None:
    assert forbidding_directive(values, ("noai", "noimageai"), "glip-engine") == found


def test_opting_out_of_more_or_of_nothing_is_the_recipes_to_say(bad_server: Any, tmp_path: Path) -> None:
    path = list_of(tmp_path / "list.jsonl", [bad_server.url("/tagged/1?tag=noindex")])
    assert reasons(outcomes(path, opt_out=("noindex",))) == ["opted_out"]
    assert reasons(outcomes(path, opt_out=())) == ["ok"]
