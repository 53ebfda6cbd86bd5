"""What an address says by itself: which ones are public, which spellings are refused, what a list allows."""

import pytest

from apps.outbound import BadAllowList, Policy, Refused

PUBLIC = Policy()
# Every one of these reaches this machine, its network or a cloud's metadata on some system.
NOT_PUBLIC = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.5", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "192.0.2.1",
    "203.0.113.9", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
    "3fff::1", "::ffff:127.0.0.1", "::ffff:a00:5", "::127.0.0.1", "2002:7f00:1::1", "2002:a00:5::", "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::a00:5", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1",
    "2a00:1450::200:5efe:a00:5", "2a00:1450::5efe:7f00:1",
]  # fmt: skip
SPELLINGS = [
    "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "1.2.3.256",
    "1.2.3.4.5",
    "127.0.0.0x1", "example.123", "127.0.0.1..", "１２７.0.0.1", "127。0。0。1", "[::ffff:127.0.0.1]", "[::1]",
    "[fe80::1%25eth0]", "0", "a..b", "-", "ex ample.com", "exam\tple.com", "a" * 64 + ".com", "[127.0.0.1]",
]  # fmt: skip
URLS = [
    "https://public.example@127.0.0.1/", "https://user:word@public.example/", "https://public.example\\@127.0.0.1/",
    "https://127.0.0.1#@public.example/", "https:///x", "https://", "//public.example", "ftp://public.example/",
    "file:///etc/passwd", "gopher://public.example/", "javascript:alert(1)", "https://public.example:22/",
    "https://public.example:6379/", "https://public.example:0/", "https://public.example:99999/",
    "https://public.example:port/", "http://public.example/", " https://public.example/",
    "https://public.example/\r\nX: y",
    "https://public.example/" + "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(Refused):
        PUBLIC.check_address(host, 443)
    with pytest.raises(Refused):
        PUBLIC.check_url(f"https://[{host}]/" if ":" in host else f"https://{host}/")


@pytest.mark.parametrize(
    "host", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_public_addresses_are_called(host: str) -> None:
    PUBLIC.check_address(host, 443)
    assert PUBLIC.check_url(f"https://[{host}]/v1" if ":" in host else f"https://{host}/v1").port == 443


@pytest.mark.parametrize("host", SPELLINGS)
def test_odd_spellings_are_refused(host: str) -> None:
    with pytest.raises(Refused):
        PUBLIC.check_url(f"https://{host}/")


@pytest.mark.parametrize("url", URLS)
def test_addresses_that_clients_read_differently_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        PUBLIC.check_url(url)


def test_a_name_has_one_spelling() -> None:
    assert PUBLIC.check_url("https://Public.Example./x").host == "public.example"
    assert PUBLIC.check_url("https://bücher.example:8443/").host == "xn--bcher-kva.example"


def test_a_name_that_mixes_addresses_is_refused() -> None:
    target = PUBLIC.check_url("https://public.example/")
    PUBLIC.check_resolved(target, ["8.8.8.8", "2606:4700::1111"])
    with pytest.raises(Refused):
        PUBLIC.check_resolved(target, ["8.8.8.8", "10.0.0.1"])


def test_a_listed_network_is_called_and_its_neighbours_are_not() -> None:
    policy = Policy.parse(" 127.0.0.1 , 10.0.0.0/8:8000, [fd00::1]:9 ")
    for host, port in (("127.0.0.1", 9), ("10.1.2.3", 8000), ("fd00::1", 9), ("::ffff:127.0.0.1", 9)):
        policy.check_address(host, port)
    assert policy.check_url("http://127.0.0.1:9/v1").port == 9
    for host, port in (("127.0.0.2", 9), ("10.1.2.3", 8001), ("11.0.0.1", 8000), ("fd00::1", 10), ("fd00::2", 9)):
        with pytest.raises(Refused):
            policy.check_address(host, port)


def test_a_listed_name_is_called_whatever_it_resolves_to() -> None:
    policy = Policy.parse("Models.internal:8000,ollama")
    for url in ("http://models.internal:8000/v1", "http://ollama:11434/v1", "http://OLLAMA./"):
        policy.check_resolved(policy.check_url(url), ["10.0.0.7"])
    for url in ("http://models.internal:8001/v1", "http://x.models.internal:8000/", "http://ollama.evil.example/"):
        with pytest.raises(Refused):
            policy.check_url(url)


def test_a_listed_name_lists_no_address() -> None:
    policy = Policy.parse("ollama")
    with pytest.raises(Refused):
        policy.check_resolved(policy.check_url("https://evil.example/"), ["10.0.0.7"])


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "10.0.0.1/8", "0x7f.1", "a b", "host:0", "host:x", "host:70000", "1.2.3"]
)
def test_a_list_that_means_nothing_stops_the_start(text: str) -> None:
    with pytest.raises(BadAllowList):
        Policy.parse(text)
