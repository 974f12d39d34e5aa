"""URLs that come from records lead to the internet, or nowhere."""

from ipaddress import ip_address

import pytest
from simulated import a_run, saying

from worker.clients.http import Http
from worker.clients.public import is_public, must_be_public
from worker.errors import Permanent, Transient

PRIVATE = """0.0.0.0 10.0.0.1 127.0.0.1 100.64.0.1 169.254.169.254 169.254.170.2 172.16.0.1 192.168.1.1 224.0.0.1
    255.255.255.255 :: ::1 fc00::1 fd00:ec2::254 fe80::1 ff02::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 64:ff9b::10.0.0.1
    2002:7f00:1:: 2001:db8::1"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_public_is_no_inner_address(address: str) -> None:
    """Nor one that embeds an inner one."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"])
def test_public_is_the_internet(address: str) -> None:
    """Also by the embeddings of its IPv4 half."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/", "127.0.0.1 is at 127.0.0.1, which is not public"),
        ("https://localhost/", "localhost is at"),
        ("https://0x7f.1/", "127.0.0.1 is at"),
        ("https://2130706433/", "127.0.0.1 is at"),
        ("https://user:password@[::1]:8443/", r"\[::1\] is at ::1"),
        ("https://10.0.0.1\\@example.com/", "10.0.0.1 is at"),
        ("http://8.8.8.8/", "8.8.8.8 would be called by http: only https may be"),
        ("file:///etc/passwd", "no URL of the web"),
        ("", "no URL"),
    ],
)
async def test_public_only_refuses(url: str, why: str) -> None:
    """Inner hosts in any writing, plain http, and what is no URL; the host is read as the client that calls it reads it."""
    with pytest.raises(Permanent, match=why):
        await must_be_public(url)


async def test_public_only_tries_a_name_without_address_again() -> None:
    """A resolver may be away for a while."""
    with pytest.raises(Transient, match=r"nobody\.invalid has no address"):
        await must_be_public("https://nobody.invalid/")
    await must_be_public("https://8.8.8.8/")


async def test_http_that_is_public_only_sends_nothing_inside() -> None:
    """What is refused never leaves."""
    async with saying("200 OK") as url, Http(a_run(), public_only=True) as http:
        for scheme in ("http", "https"):
            with pytest.raises(Permanent) as error:
                await http.post(url.replace("http", scheme, 1), json={})
            assert error.value.type == "not public"
