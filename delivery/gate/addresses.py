"""Address ranges, and whether one contains another."""

import ipaddress


def is_within(inner: str, outer: str) -> bool:
    """Whether a range contains another one. The name of a group contains only itself."""
    if inner == outer:
        return True
    one, other = network(outer), network(inner)
    if isinstance(one, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return other.subnet_of(one)
    if isinstance(one, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network):
        return other.subnet_of(one)
    return False


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The range in a text, or None if it is not a range."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
