"""Which addresses a webhook may go to: a fence against requests that customers make our machines send inwards.

https, port 443 or 8443, a host name or address written the plain way, and every address that the name has must be a
public one. On somebody's own machine (`allow_loopback`) receivers on loopback are allowed too, with http and any port.

The rules are asked when an endpoint is saved, so that people learn of it, and again at every try: names change. What
was checked is what is connected to (`transport`), so a name that changes between the two gains nothing.
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Host and port to the addresses that the host has, as texts; raises OSError when it has none.
Resolver = Callable[[str, int], Sequence[str]]

PORTS = frozenset({443, 8443})
LONGEST_URL = 2000
RESOLVE_SECONDS = 3.0

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
# A last label that is a number makes resolvers read the whole as an address: 127.1, 0x7f.1, 017700000001.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa", "onion")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")

# What `is_global` calls global and is not a host somewhere on the internet.
_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast relays
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "224.0.0.0/3",  # multicast and reserved
        "168.63.129.16/32",  # a cloud's own services
        "2001::/23",  # protocol assignments, with Teredo, which carries IPv4 inside
        "2002::/16",  # 6to4, which carries IPv4 inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]
# All that is assigned to hosts today; what lies outside (mapped, NAT64, local, SRv6, multicast) is none.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


class DestinationRefused(ValueError):
    """A webhook may not go there; the text says why."""


class Unresolvable(Exception):
    """The name has no address, or nobody said which in time."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that was read the one way it can be read. `target` is path and query; `authority` goes into Host."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host as a header says it: without the port that the scheme has anyway."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def read_url(url: str, *, allow_loopback: bool) -> Destination:
    """The URL taken apart. Raises DestinationRefused for every form that two readers could read differently."""
    if len(url) > LONGEST_URL:
        raise DestinationRefused(f"A webhook's address has at most {LONGEST_URL} characters.")
    if _UNPRINTABLE.search(url) or "\\" in url:
        raise DestinationRefused("Write the address in plain ASCII without spaces; a host's IDN form begins with xn--.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DestinationRefused("This is not an address that can be read.") from error
    scheme = parts.scheme.lower()
    if scheme not in ("https", "http") or not url.lower().startswith(f"{scheme}://"):
        raise DestinationRefused("A webhook's address begins with https://.")
    if "@" in parts.netloc:
        raise DestinationRefused("A webhook's address carries no user name or password; messages are signed.")
    if parts.fragment or url.endswith("#"):
        raise DestinationRefused("A webhook's address has no part after #: servers never see it.")
    if parts.netloc.endswith(":") or port == 0:
        raise DestinationRefused("The port is missing or not one.")
    host = _host(parts.netloc, parts.hostname or "", allow_loopback=allow_loopback)
    is_ours = allow_loopback and _may_be_loopback(host)
    if scheme == "http" and not is_ours:
        raise DestinationRefused("A webhook's address begins with https://.")
    port = port or (443 if scheme == "https" else 80)
    if port not in PORTS and not is_ours:
        raise DestinationRefused(f"Webhooks go to port {' or '.join(map(str, sorted(PORTS)))}, not {port}.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(scheme, host, port, target)


def checked_addresses(destination: Destination, *, allow_loopback: bool, resolve: Resolver) -> list[Address]:
    """The addresses of the host, each of them allowed. Raises DestinationRefused if any is not, and Unresolvable."""
    try:
        texts = resolve(destination.host, destination.port)
    except (OSError, UnicodeError) as error:
        raise Unresolvable(f"{destination.host} has no address.") from error
    addresses = [ipaddress.ip_address(text) for text in texts]
    if not addresses:
        raise Unresolvable(f"{destination.host} has no address.")
    loopback = allow_loopback and all(address.is_loopback for address in addresses)
    if loopback:
        return addresses
    # One private address among public ones is refused as a whole: which one is used must not be a matter of luck.
    if not all(is_public(address) for address in addresses):
        raise DestinationRefused(f"{destination.host} is not on the public internet.")
    if destination.scheme != "https" or destination.port not in PORTS:
        raise DestinationRefused("Outside this machine webhooks go over https, to port 443 or 8443.")
    return addresses


def is_public(address: Address) -> bool:
    """Whether a host somewhere on the internet can have this address."""
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_global and address in _GLOBAL_UNICAST and address.scope_id is None
    return address.is_global


def resolve_name(host: str, port: int) -> list[str]:
    """The system's answer. Raises OSError when there is none within 3 s; the C library may take half a minute."""
    found: list[str] = []
    failed: list[OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError) as error:
            failed.append(error)

    looking = threading.Thread(target=look_up, name=f"resolve {host}", daemon=True)
    looking.start()
    looking.join(RESOLVE_SECONDS)
    if failed:
        raise failed[0]
    if looking.is_alive():
        raise TimeoutError(f"no name server answered for {host}")
    return found


def _host(netloc: str, host: str, *, allow_loopback: bool) -> str:
    """The host in its one plain form. Raises DestinationRefused for any other."""
    if netloc.startswith("["):
        return _address_in_brackets(netloc, host)
    if "[" in netloc or "]" in netloc or "%" in netloc:
        raise DestinationRefused("The host's name can only hold letters, digits, hyphens and dots.")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise DestinationRefused("Write an address as four decimal numbers.") from error
    if host == "localhost" and allow_loopback:
        return host
    if not _NAME.fullmatch(host) or len(host) > 253:
        raise DestinationRefused("Write the host's full name: letters, digits and hyphens with dots between.")
    if any(host == ending or host.endswith(f".{ending}") for ending in _INSIDE):
        raise DestinationRefused(f"{host} is a name of an internal network.")
    return host


def _address_in_brackets(netloc: str, host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as error:
        raise DestinationRefused("This is not an IPv6 address.") from error
    if address.scope_id is not None:
        raise DestinationRefused("An address of a link (with %) means something else on every machine.")
    if not re.fullmatch(r"\[[^\[\]]*\](:[0-9]+)?", netloc):
        raise DestinationRefused("This is not an address that can be read.")
    return str(address)


def _may_be_loopback(host: str) -> bool:
    """Whether the host is loopback by its spelling; a name with dots may turn out to be, which its addresses decide."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
