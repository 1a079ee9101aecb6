"""Which names and addresses are this very machine's, and which are one client's."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address, without a port, can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def client_key(host: str) -> str:
    """Return what tells one client from another: an address, or the 64 bits of network that an IPv6 client has."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address.ipv4_mapped or int(address) >> 64)
