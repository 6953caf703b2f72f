"""Where webhooks may not go, in every spelling; and that the address which was checked is the one connected to."""

import ipaddress
import socket
import sys
from collections.abc import Iterator, Sequence

import pytest

from events.webhooks.destinations import (
    DestinationRefused,
    Unresolvable,
    checked_addresses,
    is_public,
    read_url,
    resolve_name,
)
from events.webhooks.transport import NotDelivered, post

PUBLIC = "93.184.215.14"

# Each of these leads, or could be read to lead, into a network of ours or of the machine.
HOSTILE_URLS = [
    # loopback and its spellings
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.0x1/",
    "https://127.0.0.01/",
    "https://0/",
    "https://0.0.0.0/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://app.localhost/",
    "https://127.0.0.1./",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    # private, link-local, carrier-grade, multicast, reserved
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.127.255.255/",
    "https://169.254.0.1/",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://198.51.100.7/",
    "https://203.0.113.7/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://168.63.129.16/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    # IPv4 carried inside IPv6
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[2001::1]/",
    "https://[2001:0:7f00:1::]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[5f00::1]/",
    # clouds' own services
    "https://169.254.169.254/latest/meta-data/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://169.254.170.2/v2/credentials",
    "https://metadata/",
    "https://metadata.google.internal/",
    "https://instance-data.us-west-2.compute.internal/",
    "https://kubernetes.default.svc.cluster.local/",
    "https://router.home.arpa/",
    # schemes
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://hooks.example.com:70/_x",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:///var/run/docker.sock",
    "//hooks.example.com/",
    "hooks.example.com",
    "https:hooks.example.com",
    "https:/hooks.example.com",
    "https:///hooks.example.com",
    "https://",
    "",
    # ports
    "https://hooks.example.com:22/",
    "https://hooks.example.com:80/",
    "https://hooks.example.com:5432/",
    "https://hooks.example.com:6379/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:-443/",
    "https://hooks.example.com:443x/",
    "https://hooks.example.com:/",
    "https://hooks.example.com:443:22/",
    # two readers, two hosts
    "https://user@hooks.example.com/",
    "https://user:pass@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://hooks.example.com:443@127.0.0.1/",
    "https://hooks.example.com%40127.0.0.1/",
    "https://127.0.0.1\\@hooks.example.com/",
    "https://hooks.example.com\\.internal/",
    "https://hooks.example.com /",
    "https://hooks.example.com\t/",
    "https://hooks.example.com/\r\nX-Injected: 1",
    "https://hooks.example.com/\x00",
    "https://hooks.example.com/ü",
    "https://hooks.example.com/#fragment",
    "https://hooks.example.com/#",
    "https://hooks.example.com./",
    "https://.example.com/",
    "https://hooks..example.com/",
    "https://-hooks.example.com/",
    "https://hooks%2eexample.com/",
    "https://１２７.０.０.１/",
    "https://ⓛocalhost.example.com/",
    "https://127。0。0。1/",
    "https://hoöks.example.com/",
    "https://[::1/",
    "https://::1/",
    "https://[127.0.0.1]/",
    "https://[::1].example.com/",
    "https://[::1]example.com/",
    "https://[v1.fe80]/",
    "https://example/",
    "https://" + "a" * 64 + ".example.com/",
    "https://" + "a." * 130 + "com/",
    "https://hooks.example.com/" + "a" * 2000,
]

ALLOWED_URLS = [
    "https://hooks.example.com/cp",
    "https://hooks.example.com",
    "https://hooks.example.com:443/a/b?c=d&e=%20",
    "https://hooks.example.com:8443/",
    "HTTPS://Hooks.Example.COM/Path",
    "https://xn--bcher-kva.example/",
    "https://hook_s.example.com/",
    "https://93.184.215.14/",
    "https://[2606:4700:4700::1111]/",
]


@pytest.fixture(scope="module")
def recorder() -> Iterator[list[object]]:
    """Every connection that anything in this process tries; audit hooks stay, so one serves all tests here."""
    tried: list[object] = []
    watching = True

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "socket.connect":
            tried.append(arguments[1])

    sys.addaudithook(note)
    yield tried
    watching = False


@pytest.fixture
def connections(recorder: list[object]) -> list[object]:
    """The connections of this test."""
    recorder.clear()
    return recorder


def test_there_are_many_of_them() -> None:
    assert len(HOSTILE_URLS) == len(set(HOSTILE_URLS)) >= 120


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_address_is_refused_without_a_connection(url: str, connections: list[object]) -> None:
    def public(host: str, port: int) -> Sequence[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            return [PUBLIC]  # the spelling must be enough to refuse it: no name server would say so

    with pytest.raises(NotDelivered) as refused:
        post(url, headers={}, body=b"{}", allow_loopback=False, resolve=public)
    assert refused.value.code == "refused"
    assert refused.value.detail
    assert connections == []


@pytest.mark.parametrize("url", ALLOWED_URLS)
def test_an_ordinary_address_is_allowed(url: str) -> None:
    destination = read_url(url, allow_loopback=False)
    literal = destination.host if destination.host[0].isdigit() else PUBLIC
    assert checked_addresses(destination, allow_loopback=False, resolve=lambda *_: [literal])


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        [PUBLIC, "10.1.2.3"],
        ["::1", PUBLIC],
        ["fe80::1%2"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
    ],
)
def test_a_name_that_leads_inside_is_refused(answers: list[str], connections: list[object]) -> None:
    for allow_loopback in (False, True):
        if allow_loopback and answers == ["127.0.0.1"]:
            continue
        with pytest.raises(NotDelivered) as refused:
            post(
                "https://hooks.example.com/",
                headers={},
                body=b"{}",
                allow_loopback=allow_loopback,
                resolve=lambda *_: answers,
            )
        assert refused.value.code == "refused"
    assert connections == []


def test_a_name_that_changes_after_the_check_gains_nothing(connections: list[object]) -> None:
    fenced: set[str] = set()
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) % 2 else ["127.0.0.1"]

    for _ in range(100):
        with pytest.raises(NotDelivered) as stopped:
            post("https://hooks.example.com/", headers={}, body=b"{}", allow_loopback=False, resolve=rebinding)
        # Odd answers are public, and the tests' own fence stops the connection; even ones are refused by ours.
        assert stopped.value.code == ("connection" if len(asked) % 2 else "refused")
        fenced.add(str(stopped.value.__cause__))
    assert len(asked) == 100  # once for each: what was checked is what is connected to
    assert sum(text.endswith(f"connect to {PUBLIC}.") for text in fenced) == 1 and len(fenced) == 2
    assert connections == []


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("http://127.0.0.1:9000/hook", True),
        ("http://127.8.9.10:80/", True),
        ("http://[::1]:9000/", True),
        ("https://127.0.0.1:9000/", True),
        ("http://10.0.0.1:9000/", False),
        ("http://0.0.0.0:9000/", False),
        ("http://[::ffff:127.0.0.1]:9000/", False),
        ("https://169.254.169.254/", False),
        ("https://93.184.215.14:9000/", False),
        ("http://93.184.215.14/", False),
    ],
)
def test_on_ones_own_machine_loopback_is_allowed_and_nothing_else_more(url: str, is_allowed: bool) -> None:
    def asked() -> list[object]:
        destination = read_url(url, allow_loopback=True)
        return list(checked_addresses(destination, allow_loopback=True, resolve=lambda host, _: [host]))

    if is_allowed:
        assert asked()
    else:
        with pytest.raises(DestinationRefused):
            asked()


def test_a_name_of_ones_own_machine_must_lead_to_it() -> None:
    destination = read_url("http://receiver.test:9000/", allow_loopback=True)
    assert checked_addresses(destination, allow_loopback=True, resolve=lambda *_: ["127.0.0.1", "::1"])
    for elsewhere in ([PUBLIC], ["127.0.0.1", PUBLIC]):
        with pytest.raises(DestinationRefused):
            checked_addresses(destination, allow_loopback=True, resolve=lambda *_, to=elsewhere: to)


def test_no_address_of_an_inner_network_is_public() -> None:
    inner = [
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
    ]
    inner += ["fc00::/7", "fe80::/10", "ff00::/8", "::/96", "::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32"]
    for network in map(ipaddress.ip_network, inner):
        for number in (0, 1, network.num_addresses // 2, network.num_addresses - 1):
            assert not is_public(network[number]), network[number]


def test_a_name_that_nobody_knows_is_unresolvable() -> None:
    def unknown(*_: object) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    for resolve in (unknown, lambda *_: []):
        with pytest.raises(Unresolvable):
            checked_addresses(
                read_url("https://a.example/", allow_loopback=False), allow_loopback=False, resolve=resolve
            )


def test_the_system_resolves_addresses_and_localhost() -> None:
    assert resolve_name("127.0.0.1", 443) == ["127.0.0.1"]
    assert set(resolve_name("localhost", 443)) <= {"127.0.0.1", "::1"}
    with pytest.raises((OSError, UnicodeError)):
        resolve_name("a" * 300, 443)
