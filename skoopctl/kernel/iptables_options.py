"""How many arguments each option of each match and target extension takes.

The extensions' own manual pages are the source: iptables-extensions(8) of iptables 1.8.11. What is not listed
takes every word up to the next option, which is right unless an argument looks like an option itself.
"""

from __future__ import annotations

from collections.abc import Mapping

BUILTIN: Mapping[str, str] = {
    "-s": "source",
    "--source": "source",
    "--src": "source",
    "-d": "destination",
    "--destination": "destination",
    "--dst": "destination",
    "-p": "protocol",
    "--protocol": "protocol",
    "--proto": "protocol",
    "-i": "in-interface",
    "--in-interface": "in-interface",
    "-o": "out-interface",
    "--out-interface": "out-interface",
    "-f": "fragment",
    "--fragment": "fragment",
    "-4": "ipv4",
    "--ipv4": "ipv4",
    "-6": "ipv6",
    "--ipv6": "ipv6",
}

BUILTIN_WITHOUT_ARGUMENT = frozenset({"fragment", "ipv4", "ipv6"})

IMPLIED_BY_PROTOCOL: Mapping[str, str] = {
    "tcp": "tcp",
    "6": "tcp",
    "udp": "udp",
    "17": "udp",
    "udplite": "udp",
    "sctp": "sctp",
    "132": "sctp",
    "dccp": "dccp",
    "icmp": "icmp",
    "1": "icmp",
    "icmpv6": "icmp6",
    "ipv6-icmp": "icmp6",
    "58": "icmp6",
    "esp": "esp",
    "ah": "ah",
    "mh": "mh",
}


def _arities(none: str = "", one: str = "", two: str = "") -> Mapping[str, int]:
    return {name: count for count, names in enumerate((none, one, two)) for name in names.split()}


_TTL = _arities(one="ttl-eq ttl-lt ttl-gt ttl-set ttl-dec ttl-inc")
_HL = _arities(one="hl-eq hl-lt hl-gt hl-set hl-dec hl-inc")
_PORTS = "sport dport source-port destination-port"

MATCHES: Mapping[str, Mapping[str, int]] = {
    "addrtype": _arities("limit-iface-in limit-iface-out", "src-type dst-type"),
    "ah": _arities("ahres", "ahspi ahlen"),
    "bpf": _arities(one="bytecode object-pinned"),
    "cgroup": _arities(one="cgroup path"),
    "cluster": _arities(
        one="cluster-total-nodes cluster-local-node cluster-local-nodemask cluster-hash-seed"
    ),
    "comment": _arities(one="comment"),
    "connbytes": _arities(one="connbytes connbytes-mode connbytes-dir"),
    "connlabel": _arities("set", "label"),
    "connlimit": _arities("connlimit-saddr connlimit-daddr", "connlimit-upto connlimit-above connlimit-mask"),
    "connmark": _arities(one="mark"),
    "conntrack": _arities(
        one="ctstate ctproto ctorigsrc ctorigdst ctreplsrc ctrepldst ctorigsrcport ctorigdstport"
        " ctreplsrcport ctrepldstport ctstatus ctexpire ctdir"
    ),
    "cpu": _arities(one="cpu"),
    "dccp": _arities(one=f"{_PORTS} dccp-types dccp-option"),
    "devgroup": _arities(one="src-group dst-group"),
    "dscp": _arities(one="dscp dscp-class"),
    "dst": _arities(one="dst-len dst-opts"),
    "ecn": _arities("ecn-tcp-cwr ecn-tcp-ece", "ecn-ip-ect"),
    "esp": _arities(one="espspi"),
    "eui64": _arities(),
    "frag": _arities("fragres fragfirst fragmore fraglast", "fragid fraglen"),
    "geoip": _arities(one="source-country src-cc destination-country dst-cc"),
    "hashlimit": _arities(
        "hashlimit-rate-match",
        "hashlimit-upto hashlimit-above hashlimit-burst hashlimit-mode hashlimit-srcmask hashlimit-dstmask"
        " hashlimit-name hashlimit-htable-size hashlimit-htable-max hashlimit-htable-expire"
        " hashlimit-htable-gcinterval hashlimit-rate-interval",
    ),
    "hbh": _arities(one="hbh-len hbh-opts"),
    "helper": _arities(one="helper"),
    "hl": _HL,
    "icmp": _arities(one="icmp-type"),
    "icmp6": _arities(one="icmpv6-type"),
    "iprange": _arities(one="src-range dst-range"),
    "ipv6header": _arities("soft", "header"),
    "ipvs": _arities("ipvs", "vproto vaddr vport vdir vmethod vportctl"),
    "length": _arities(one="length"),
    "limit": _arities(one="limit limit-burst"),
    "mac": _arities(one="mac-source"),
    "mark": _arities(one="mark"),
    "mh": _arities(one="mh-type"),
    "multiport": _arities(one="sports dports ports source-ports destination-ports"),
    "nfacct": _arities(one="nfacct-name"),
    "osf": _arities(one="genre ttl log"),
    "owner": _arities("socket-exists suppl-groups", "uid-owner gid-owner"),
    "physdev": _arities("physdev-is-in physdev-is-out physdev-is-bridged", "physdev-in physdev-out"),
    "pkttype": _arities(one="pkt-type"),
    "policy": _arities("strict next", "dir pol reqid spi proto mode tunnel-src tunnel-dst"),
    "quota": _arities(one="quota"),
    "quota2": _arities("grow no-change packets", "name quota"),
    "rateest": _arities(
        "rateest-delta rateest-lt rateest-gt rateest-eq",
        "rateest rateest1 rateest2 rateest-bps rateest-bps1 rateest-bps2 rateest-pps rateest-pps1"
        " rateest-pps2",
    ),
    "realm": _arities(one="realm"),
    "recent": _arities("set rcheck update remove reap rttl rsource rdest", "seconds hitcount name mask"),
    "rpfilter": _arities("loose validmark accept-local invert"),
    "rt": _arities("rt-0-res rt-0-not-strict", "rt-type rt-segsleft rt-len rt-0-addrs"),
    "sctp": _arities(one=_PORTS, two="chunk-types"),
    "set": _arities(
        "return-nomatch update-counters update-subcounters",
        "packets-eq packets-lt packets-gt bytes-eq bytes-lt bytes-gt",
        "match-set",
    ),
    "socket": _arities("transparent nowildcard restore-skmark"),
    "state": _arities(one="state"),
    "statistic": _arities(one="mode probability every packet"),
    "string": _arities("icase", "algo from to string hex-string"),
    "tcp": _arities("syn", f"{_PORTS} tcp-option", "tcp-flags"),
    "tcpmss": _arities(one="mss"),
    "time": _arities(
        "contiguous kerneltz utc localtz", "datestart datestop timestart timestop monthdays weekdays"
    ),
    "tos": _arities(one="tos"),
    "ttl": _TTL,
    "u32": _arities(one="u32"),
    "udp": _arities(one=_PORTS),
}

_MARKS = "set-xmark set-mark and-mark or-mark xor-mark"

TARGETS: Mapping[str, Mapping[str, int]] = {
    "AUDIT": _arities(one="type"),
    "CHECKSUM": _arities("checksum-fill"),
    "CLASSIFY": _arities(one="set-class"),
    "CONNMARK": _arities(
        "save-mark restore-mark", f"{_MARKS} nfmask ctmask mask left-shift-mark right-shift-mark"
    ),
    "CONNSECMARK": _arities("save restore"),
    "CT": _arities("notrack", "zone zone-orig zone-reply helper ctevents expevents timeout"),
    "DNAT": _arities("random persistent", "to-destination"),
    "DNPT": _arities(one="src-pfx dst-pfx"),
    "DSCP": _arities(one="set-dscp set-dscp-class"),
    "ECN": _arities("ecn-tcp-remove", "ecn-tcp-cwr ecn-tcp-ece ecn-ip-ect"),
    "HL": _HL,
    "HMARK": _arities(
        one="hmark-mod hmark-offset hmark-rnd hmark-tuple hmark-src-prefix hmark-dst-prefix"
        " hmark-proto-mask hmark-spi hmark-spi-mask hmark-sport hmark-dport hmark-sport-mask hmark-dport-mask"
    ),
    "IDLETIMER": _arities("alarm", "timeout label"),
    "LED": _arities("led-always-blink", "led-trigger-id led-delay"),
    "LOG": _arities(
        "log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode", "log-level log-prefix"
    ),
    "MARK": _arities(one=_MARKS),
    "MASQUERADE": _arities("random random-fully", "to-ports"),
    "NETMAP": _arities(one="to"),
    "NFLOG": _arities(one="nflog-group nflog-prefix nflog-range nflog-size nflog-threshold"),
    "NFQUEUE": _arities("queue-bypass queue-cpu-fanout", "queue-num queue-balance"),
    "RATEEST": _arities(one="rateest-name rateest-interval rateest-ewmalog"),
    "REDIRECT": _arities("random", "to-ports"),
    "REJECT": _arities(one="reject-with"),
    "SECMARK": _arities(one="selctx"),
    "SET": _arities("exist map-mark map-prio map-queue", "timeout", "add-set del-set map-set"),
    "SNAT": _arities("random random-fully persistent", "to-source"),
    "SNPT": _arities(one="src-pfx dst-pfx"),
    "SYNPROXY": _arities("sack-perm timestamp ecn", "wscale mss"),
    "TCPMSS": _arities("clamp-mss-to-pmtu", "set-mss"),
    "TCPOPTSTRIP": _arities(one="strip-options"),
    "TEE": _arities(one="gateway oif"),
    "TOS": _arities(one="set-tos and-tos or-tos xor-tos"),
    "TPROXY": _arities(one="on-port on-ip tproxy-mark"),
    "TTL": _TTL,
    "ULOG": _arities(one="ulog-nlgroup ulog-prefix ulog-cprange ulog-qthreshold"),
}
