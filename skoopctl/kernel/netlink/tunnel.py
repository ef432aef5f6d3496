"""Decode IFLA_INFO_DATA of tunnels (include/uapi/linux/if_tunnel.h, if_link.h)."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.kernel.netlink.dump import be16, number32, u16
from skoopctl.kernel.tunnel import Df, Geneve, IpTunnel

Data = dict[int, bytes]

_IP_LINK, _IP_LOCAL, _IP_REMOTE, _IP_PROTO, _IP_PMTUDISC = 1, 2, 3, 9, 10
_IP_ENCAP_TYPE, _IP_EXTERNAL, _IP_FWMARK = 15, 19, 20
_GRE_LINK, _GRE_IFLAGS, _GRE_OFLAGS, _GRE_IKEY, _GRE_OKEY, _GRE_LOCAL, _GRE_REMOTE = 1, 2, 3, 4, 5, 6, 7
_GRE_PMTUDISC, _GRE_ENCAP_TYPE, _GRE_EXTERNAL, _GRE_IGNORE_DF, _GRE_FWMARK = 10, 14, 18, 19, 20
_GENEVE_ID, _GENEVE_REMOTE, _GENEVE_PORT, _GENEVE_EXTERNAL, _GENEVE_REMOTE6 = 1, 2, 5, 6, 7
_GENEVE_DF, _GENEVE_INNER_PROTO = 13, 14
_SIZES = {4: 4, 6: 16}
_KEY, _CHECKSUM, _SEQUENCE = 0x2000, 0x8000, 0x1000  # GRE_KEY, GRE_CSUM, GRE_SEQ in host order


def decode_tunnel(kind: str, data: Data) -> IpTunnel | Geneve | None:
    """Return what a link of a tunnel's kind is, or None for another kind. Raises ValueError, struct.error."""
    decode = _DECODERS.get(kind)
    return decode(data) if decode is not None else None


def df_of(raw: bytes | None) -> Df:
    """Return a DF mode; one that this model does not know is taken as unset."""
    return Df(raw[0]) if raw and raw[0] in set(Df) else Df.UNSET


def _ip(family: int) -> Callable[[Data], IpTunnel]:
    def decode(data: Data) -> IpTunnel:
        return IpTunnel(
            family=family,
            local=_address(data.get(_IP_LOCAL), family),
            remote=_address(data.get(_IP_REMOTE), family),
            lower=number32(data, _IP_LINK),
            pmtudisc=_flag(data, _IP_PMTUDISC, default=True),
            protocol=data[_IP_PROTO][0] if data.get(_IP_PROTO) else 0,
            wrapped=_wrapped(data.get(_IP_ENCAP_TYPE)),
            external=_IP_EXTERNAL in data,
            fwmark=number32(data, _IP_FWMARK),
        )

    return decode


def _gre(family: int) -> Callable[[Data], IpTunnel]:
    def decode(data: Data) -> IpTunnel:
        taken, sent = _flags(data.get(_GRE_IFLAGS)), _flags(data.get(_GRE_OFLAGS))
        return IpTunnel(
            family=family,
            local=_address(data.get(_GRE_LOCAL), family),
            remote=_address(data.get(_GRE_REMOTE), family),
            lower=number32(data, _GRE_LINK),
            pmtudisc=_flag(data, _GRE_PMTUDISC, default=True),
            ignore_df=_flag(data, _GRE_IGNORE_DF, default=False),
            in_key=_key(data.get(_GRE_IKEY)) if taken & _KEY else None,
            out_key=_key(data.get(_GRE_OKEY)) if sent & _KEY else None,
            in_checked=_checked(taken),
            out_checked=_checked(sent),
            wrapped=_wrapped(data.get(_GRE_ENCAP_TYPE)),
            external=_GRE_EXTERNAL in data,
            fwmark=number32(data, _GRE_FWMARK),
        )

    return decode


def _geneve(data: Data) -> Geneve:
    six = data.get(_GENEVE_REMOTE6)
    return Geneve(
        vni=number32(data, _GENEVE_ID),
        port=be16.unpack_from(data[_GENEVE_PORT])[0] if _GENEVE_PORT in data else 6081,
        family=6 if six is not None else 4,
        remote=_address(six, 6) if six is not None else _address(data.get(_GENEVE_REMOTE), 4),
        df=df_of(data.get(_GENEVE_DF)),
        external=_GENEVE_EXTERNAL in data,
        without_ethernet=_GENEVE_INNER_PROTO in data,
    )


_DECODERS: dict[str, Callable[[Data], IpTunnel | Geneve]] = {
    "ipip": _ip(4),
    "sit": _ip(4),
    "ip6tnl": _ip(6),
    "gre": _gre(4),
    "gretap": _gre(4),
    "ip6gre": _gre(6),
    "ip6gretap": _gre(6),
    "geneve": _geneve,
}
TUNNEL_KINDS = frozenset(_DECODERS)


def _address(raw: bytes | None, family: int) -> int:
    if raw is not None and len(raw) != _SIZES[family]:
        raise ValueError(f"an IPv{family} address of {len(raw)} bytes")
    return int.from_bytes(raw, "big") if raw is not None else 0


def _flag(data: Data, key: int, *, default: bool) -> bool:
    return bool(data[key][0]) if data.get(key) else default


def _flags(raw: bytes | None) -> int:
    return int(be16.unpack_from(raw)[0]) if raw else 0


def _key(raw: bytes | None) -> int:
    return int.from_bytes(raw, "big") if raw else 0


def _checked(flags: int) -> int:
    return (1 if flags & _CHECKSUM else 0) | (2 if flags & _SEQUENCE else 0)


def _wrapped(raw: bytes | None) -> bool:
    return raw is not None and len(raw) >= 2 and u16.unpack_from(raw)[0] != 0
