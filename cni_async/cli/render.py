"""Show results and attachments to people."""

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cni_async import DNS, NetworkAttachment, Route
from cni_async.types import v100

from .answer import Added
from .text import visible

_LABEL: Final = "dim"


def show(what: Added | list[NetworkAttachment]) -> None:
    """Print a result or attachments on the terminal."""
    # rich must not treat names of interfaces and the like as markup, emoji or numbers.
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(_result(what) if isinstance(what, Added) else _attachments(what))


def _result(added: Added) -> Tree:
    """Return a tree of interfaces with their addresses, routes and the resolver's settings."""
    result = v100.get_result(added.result)
    tree = Tree(_line((added.network, "bold"), (f"CNI {added.result.version}", _LABEL)))
    branches = [tree.add(_interface(interface)) for interface in result.interfaces]
    for ip in result.ips:
        # Results of the oldest versions name no interfaces.
        at = ip.interface
        known = at is not None and 0 <= at < len(branches)
        branch = branches[at] if at is not None and known else tree
        branch.add(_line((ip.address.with_prefixlen, "green"), *_labelled("gateway", ip.gateway)))
    if result.routes:
        routes = tree.add("routes")
        for route in result.routes:
            routes.add(_route(route))
    if not result.dns.is_empty():
        dns = tree.add("dns")
        for line in _dns(result.dns):
            dns.add(line)
    return tree


def _interface(interface: v100.Interface) -> Text:
    return _line(
        (interface.name, "bold cyan"),
        (interface.mac, ""),
        *_labelled("mtu", interface.mtu or None),
        (f"in {interface.sandbox}" if interface.sandbox else "on the host", _LABEL),
        *_labelled("pci", interface.pci_id or None),
        *_labelled("socket", interface.socket_path or None),
    )


def _route(route: Route) -> Text:
    return _line(
        (route.dst.with_prefixlen, "green"),
        *_labelled("via", route.gw),
        *_labelled("mtu", route.mtu or None),
        *_labelled("advmss", route.advmss or None),
        *_labelled("priority", route.priority or None),
        *_labelled("table", route.table),
        *_labelled("scope", route.scope),
    )


def _dns(dns: DNS) -> list[Text]:
    settings = {
        "nameservers": dns.nameservers,
        "domain": [dns.domain] if dns.domain else [],
        "search": dns.search,
        "options": dns.options,
    }
    return [
        _line((label, _LABEL), (" ".join(values), ""))
        for label, values in settings.items()
        if values
    ]


def _attachments(attachments: list[NetworkAttachment]) -> RenderableType:
    if not attachments:
        return "no attachments"
    table = Table(box=None, padding=(0, 3, 0, 0))
    headers = ["network", "container", "interface", "namespace"]
    unfinished = not all(one.completed for one in attachments)
    for header in [*headers, "state"] if unfinished else headers:
        # Users copy these values, so a long one takes more lines and is not cut.
        table.add_column(header, overflow="fold")
    for one in attachments:
        row = [visible(word) for word in (one.network, one.container_id, one.ifname, one.netns)]
        if unfinished:
            row.append("" if one.completed else "unfinished")
        table.add_row(*row)
    return table


def _labelled(
    label: str, value: str | int | IPv4Address | IPv6Address | None
) -> tuple[tuple[str, str], ...]:
    return () if value is None else ((label, _LABEL), (str(value), ""))


def _line(*words: tuple[str, str]) -> Text:
    """Return a line of words in their styles, without the empty ones."""
    return Text(" ").join(Text(visible(word), style) for word, style in words if word)
