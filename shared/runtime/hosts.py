"""Which names and addresses are this very machine's."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address, without a port, can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
