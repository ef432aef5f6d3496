"""Names and words that are the same everywhere, and so tell nothing about anybody: they are never replaced."""

from __future__ import annotations

from importlib import resources


def words(text: str) -> frozenset[str]:
    """Return the words of a table that is written as text."""
    return frozenset(text.split())


def _words() -> frozenset[str]:
    text = resources.files(__package__ or "").joinpath("vocabulary.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.split("\n") if not line.startswith("#") for word in line.split())


VOCABULARY = _words()
"""Words of kernels, of kube-proxy's and others' rules, and of our own messages: not names, where both may stand."""

WELL_KNOWN = words(
    "default kube-system kube-public kube-node-lease kubernetes kube-dns coredns kube-proxy kube-apiserver "
    "kube-scheduler kube-controller-manager etcd kube-flannel kube-flannel-ds calico-system calico-node "
    "calico-kube-controllers calico-typha tigera-operator cilium cilium-agent cilium-operator metrics-server "
    "linux amd64 arm64 true false None TCP UDP SCTP tcp udp sctp http https dns dns-tcp metrics localhost "
    "endpointslice-controller.k8s.io"
)
"""Names of objects that every cluster has, and values of labels that every object has."""

BEGINNINGS = tuple(
    sorted(
        words(
            # chains: what follows is a hash of names, or a device
            "KUBE-SVC- KUBE-SEP- KUBE-FW- KUBE-XLB- KUBE-EXT- KUBE-SVL- KUBE-POD-FW- KUBE-NWPLCY- KUBE-SRC- "
            "KUBE-DST- CNI- CNI-DN- CNI-SN- DOCKER- ISTIO_ CILIUM_ ANTREA- WEAVE- FLANNEL- "
            "cali- cali-tw- cali-fw- cali-th- cali-fh- cali-thfw- cali-fhfw- cali-sm- cali-pi- cali-po- cali-pri- "
            "cali-pro- cali-qos- cali40 cali40s: cali60s: cali4t0 cali6t0 cali: "
            # devices
            "cali veth lxc lxd tap tun vnet br- cni docker enx vxlan flannel. flannel cilium_ nodelocaldns wg dummy "
            # groups of processes, and network namespaces
            "cri-containerd- crio- docker- cni- kubepods-burstable-pod kubepods-besteffort-pod kubepods-pod "
            "libpod- session- user- "
            # pods of every cluster
            "coredns- kube-proxy- kube-apiserver- kube-scheduler- kube-controller-manager- etcd- kube-flannel-ds- "
            "calico-node- calico-kube-controllers- calico-typha- cilium- cilium-operator- metrics-server- "
            # labels
            "kubernetes.io/ k8s.io/ app.kubernetes.io/ topology.kubernetes.io/ node.kubernetes.io/ "
            "node-role.kubernetes.io/ beta.kubernetes.io/ service.kubernetes.io/ endpointslice.kubernetes.io/ "
            "kube-dns-"
        ),
        key=lambda text: (-len(text), text),
    )
)
"""How names begin that software makes: the beginning stays, the rest is replaced. The longest comes first."""

_WITH_NUMBERS = sorted(
    words(
        "eth ib em bond team br vlan dummy wg tun tap tunl sit gre gretap erspan ip6tnl ip_vti ip6_vti ip6gre ipip "
        "vxlan cni cbr docker macvlan ipvlan ipvl vrf ifb nlmon flannel. flannel-v6. genev_sys_ geneve podman virbr"
    )
)
DEVICES = (
    r"(?:(?:" + "|".join(each.replace(".", r"\.") for each in _WITH_NUMBERS) + r")[0-9]{1,5}"
    r"|en(?:o[0-9]+|s[0-9]+|p[0-9]+s[0-9]+)(?:f[0-9]+)?(?:np[0-9]+|d[0-9]+)?"
    r"|lo|all|default|pim6reg|teql0|kube-ipvs0|kube-bridge|kube-dummy-if|nodelocaldns|weave|flannel-wg"
    r"|cilium_(?:net|host|vxlan|geneve|wg0)|lxc_health|antrea-gw0|ovs-system|br-int|br-ex|br-nf"
    r"|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|wg-v6\.cali|bpf(?:in|out)\.cali)(?:\.[0-9]{1,4})?"
)
"""Names of devices that kernels, installers and network plugins give; as a pattern for the whole name."""
