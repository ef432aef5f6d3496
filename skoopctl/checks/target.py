"""What a person means by SRC and DST: an address, ``pod/NS/NAME``, ``svc/…``, ``node/NAME``, a host, a URL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from skoopctl.checks.diagnosis import Endpoint
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.topology import NsKey
from skoopctl.errors import TargetError

_URL_PORTS = {"http": 80, "https": 443, "tcp": 0, "grpc": 50051, "redis": 6379, "postgres": 5432}


@dataclass(frozen=True, slots=True)
class Target:
    """One end, resolved. ``client`` is the namespace of a source; ``port`` is what the text said (0: nothing)."""

    endpoint: Endpoint
    client: NsKey | None = None
    port: int = 0
    host_ports: tuple[int, ...] = ()


def resolve(text: str, snapshot: Snapshot, family: int = 0) -> Target:
    """Find what a SRC or DST means. Raises `TargetError` with the nearest name when it means nothing.

    A name may have addresses of both families: ``family`` 4 or 6 takes one of those, where there is one.
    """
    if "://" in text:
        return _url(text, snapshot, family)
    if _address(text):
        return _by_address(text, text, snapshot)
    kind, _, name = text.partition("/")
    if kind in {"pod", "po", "pods"} and name:
        return _pod(text, name, snapshot, family)
    if kind in {"svc", "service", "services"} and name:
        return _service(text, name, snapshot, family)
    if kind in {"node", "no", "nodes"} and name:
        return _node(text, name, snapshot, family)
    if text in snapshot.hosts or text in snapshot.cluster.nodes:
        return _node(text, text, snapshot, family)
    known = [*snapshot.hosts, *snapshot.cluster.nodes]
    raise TargetError(
        f"{text!r} is not an address, and no host has that name",
        hint=_nearest(text, known) or "use an IP, pod/NS/NAME, svc/NS/NAME, node/NAME, a host name or a URL",
    )


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _by_address(asked: str, address: str, snapshot: Snapshot) -> Target:
    """Say what an address is: by the objects, else by who holds it."""
    address = _address(address) or address
    owner = snapshot.owner(address)
    identity = snapshot.cluster.whois(address)
    if identity is not None and identity.kind.value in {"pod", "node", "service"}:
        return Target(
            Endpoint(asked, address, identity.kind.value, identity.name, identity.node or _host(owner)), owner
        )
    if owner is not None:
        netns = snapshot.netns(owner)
        if netns.is_host:
            return Target(Endpoint(asked, address, "node", owner[0], owner[0]), owner)
        return Target(Endpoint(asked, address, "pod", snapshot.labels.get(owner, ""), owner[0]), owner)
    if address in snapshot.uncollected:
        name = snapshot.uncollected[address]
        return Target(Endpoint(asked, address, "node", name, name))
    kind = "unknown" if identity is not None else "external"
    return Target(Endpoint(asked, address, kind))


def _host(owner: NsKey | None) -> str:
    return owner[0] if owner else ""


def _pod(asked: str, name: str, snapshot: Snapshot, family: int = 0) -> Target:
    namespace, _, pod_name = name.rpartition("/")
    namespace = namespace or "default"
    pod = snapshot.cluster.pods.get((namespace, pod_name))
    if pod is None:
        labelled = next(
            (k for k, label in snapshot.labels.items() if label == f"{namespace}/{pod_name}"), None
        )
        if labelled is None:
            known = [f"{ns}/{n}" for ns, n in snapshot.cluster.pods]
            raise TargetError(
                f"{asked}: there is no pod {namespace}/{pod_name} in what was collected",
                hint=_nearest(f"{namespace}/{pod_name}", known) or _need_api(snapshot),
            )
    if pod is not None and not pod.ips:
        raise TargetError(f"{asked}: the pod has no address yet (phase {pod.phase})", hint="see its events")
    address = _of_family(pod.ips, family) if pod is not None else ""
    target = _by_address(asked, address, snapshot)
    label = f"{namespace}/{pod_name}"
    node = pod.node if pod is not None else target.endpoint.node
    return Target(Endpoint(asked, address, "pod", label, node), target.client, target.port)


def _service(asked: str, name: str, snapshot: Snapshot, family: int = 0) -> Target:
    namespace, _, service_name = name.rpartition("/")
    namespace = namespace or "default"
    service = snapshot.cluster.services.get((namespace, service_name))
    if service is None:
        known = [f"{ns}/{n}" for ns, n in snapshot.cluster.services]
        raise TargetError(
            f"{asked}: there is no service {namespace}/{service_name} in what was collected",
            hint=_nearest(f"{namespace}/{service_name}", known) or _need_api(snapshot),
        )
    address = _of_family([ip for ip in service.cluster_ips if _address(ip)], family)
    if not address:
        raise TargetError(
            f"{asked}: the service has no cluster IP (it is headless)",
            hint="ask for one of its pods instead",
        )
    port = service.ports[0].port if len(service.ports) == 1 else 0
    return Target(Endpoint(asked, address, "service", f"{namespace}/{service_name}"), None, port)


def _node(asked: str, name: str, snapshot: Snapshot, family: int = 0) -> Target:
    host = snapshot.hosts.get(name)
    node = snapshot.cluster.nodes.get(name)
    if host is None and node is None:
        known = [*snapshot.hosts, *snapshot.cluster.nodes]
        raise TargetError(
            f"{asked}: there is no node {name} in what was collected",
            hint=_nearest(name, known) or "see 'skoopctl collect' for who answered",
        )
    address = _node_address(name, snapshot, family)
    if address is None:
        raise TargetError(f"{asked}: no address of {name} is known", hint="give its address")
    owner = (name, host.root) if host is not None else snapshot.owner(address)
    return Target(Endpoint(asked, address, "node", name, name), owner)


def _of_family(addresses: Iterable[str], family: int) -> str:
    """Return the first address of a family, else the first of all, else ''."""
    known = list(addresses)
    fitting = [address for address in known if (6 if ":" in address else 4) == family]
    return next(iter(fitting or known), "")


def _node_address(name: str, snapshot: Snapshot, family: int) -> str | None:
    """Return a node's own address: the API's InternalIP, else that of the device of its default route."""
    node = snapshot.cluster.nodes.get(name)
    if node is not None:
        internal = [a for kind, a in node.addresses if kind == "InternalIP" and _address(a)]
        if internal and (not family or any((":" in a) == (family == 6) for a in internal)):
            return _of_family(internal, family)
    host = snapshot.hosts.get(name)
    if host is None:
        return None
    netns = host.root_netns
    default = [r for r in netns.routes if r.destination.prefixlen == 0 and r.next_hops and r.table == 254]
    wanted = {hop.index for route in default for hop in route.next_hops}
    outward = {link.index for link in netns.links.values() if link.kind not in {"bridge", "vxlan"}}
    held = [
        str(address.ip)
        for pool in (wanted, outward)
        for address in netns.addresses
        if address.index in pool and not address.ip.is_loopback and not address.ip.is_link_local
    ]
    return _of_family(held, family) or None


def _url(text: str, snapshot: Snapshot, family: int) -> Target:
    parts = urlsplit(text)
    host = parts.hostname or ""
    try:
        port = parts.port or _URL_PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise TargetError(f"{text}: the port is not a number from 1 to 65535") from error
    if _address(host):
        target = _by_address(text, host, snapshot)
    else:
        labels = host.split(".")
        service = (labels[1], labels[0]) if len(labels) > 1 else ("default", labels[0])
        if service not in snapshot.cluster.services:
            raise TargetError(
                f"{text}: {host} is not an address, and not a service of the cluster",
                hint="names outside the cluster are not looked up: give the address",
            )
        target = _service(text, f"{service[0]}/{service[1]}", snapshot, family)
    return Target(target.endpoint, target.client, port or target.port)


def _nearest(name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415 - only a mistake needs it

    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else ""


def _need_api(snapshot: Snapshot) -> str:
    return (
        "" if snapshot.cluster else "no Kubernetes objects were collected: give --kubeconfig, or an address"
    )
