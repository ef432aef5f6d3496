"""kube-proxy's names for chains, sets and maps.

Sources: pkg/proxy/iptables/proxier.go (``portProtoHash``, ``servicePortEndpointChainName``) and
pkg/proxy/nftables/proxier.go (``servicePortChainNameBase``, ``hashAndTruncate``).
"""

from __future__ import annotations

import base64
import hashlib

NFT_NAME_BASE_MAX = 240


def hash_letters(text: str, length: int) -> str:
    """Return the first letters of the base32 form of the SHA-256 of ``text``."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:length]


def iptables_service_hash(service_port: str, protocol: str) -> str:
    """Return the hash that follows ``KUBE-SVC-``, ``-SVL-``, ``-EXT-`` and ``-FW-``.

    ``service_port`` is ``namespace/name`` or ``namespace/name:port-name``; ``protocol`` is lower case.
    """
    return hash_letters(service_port + protocol, 16)


def iptables_endpoint_chain(service_port: str, protocol: str, endpoint: str) -> str:
    """Return the ``KUBE-SEP-`` chain of one endpoint (``address:port``) of a service port."""
    return "KUBE-SEP-" + hash_letters(service_port + protocol + endpoint, 16)


def nft_service_base(namespace: str, name: str, protocol: str, port_name: str) -> str:
    """Return what follows ``service-``, ``local-``, ``external-`` and ``firewall-`` in nftables mode."""
    return _hashed(f"{namespace}/{name}/{protocol}/{port_name}")


def nft_endpoint_base(namespace: str, name: str, protocol: str, port_name: str, endpoint: str) -> str:
    """Return what follows ``endpoint-`` and ``affinity-``; ``endpoint`` is ``address:port``."""
    return _hashed(f"{namespace}/{name}/{protocol}/{port_name}__{endpoint.replace(':', '/')}")


def _hashed(name: str) -> str:
    """Prefix ``name`` with its hash, cut to the length that leaves room for a prefix."""
    return f"{hash_letters(name, 8)}-{name}"[:NFT_NAME_BASE_MAX]
