"""What a node says about itself."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.host_facts import (
    decode_identity,
    decode_namespaces,
    decode_nsids,
    decode_sysctls,
    pod_uid,
)

UID = "2102d1d8-21d5-4389-a0e4-0ec61c27c935"
SYSTEMD = UID.replace("-", "_")
CID = "a" * 64
OUTER = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SYSTEMD}.slice/cri-containerd-{CID}.scope",
        f"0::/kubepods.slice/kubepods-pod{SYSTEMD}.slice/crio-{CID}.scope",
        f"0::/kubepods/besteffort/pod{UID}/{CID}",
        f"12:pids:/user.slice\n11:memory:/kubepods/burstable/pod{UID}/{CID}\n1:name=systemd:/kubepods/pod{UID}/{CID}",
        f"0::/docker/{CID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{SYSTEMD}.slice/cri-{CID}.scope",
        f"0::/kubepods/besteffort/pod{OUTER}/{CID}/kubelet/kubepods/pod{UID}/{CID}",
        f"0::/system.slice/containerd.service/kubepods-burstable-pod{SYSTEMD}.slice:cri-containerd:{CID}",
        f"0::/../../pod{UID}",
    ],
    ids=["systemd", "crio-guaranteed", "cgroupfs", "v1", "kind", "pod-in-pod", "colon-form", "cgroupns"],
)
def test_pod_uid_of_a_cgroup(cgroup: str) -> None:
    """Every layout of kubelets and runtimes gives the pod's UID; the innermost pod counts."""
    assert pod_uid(cgroup) == UID


@pytest.mark.parametrize(
    "cgroup", ["", "0::/", "0::/system.slice/sshd.service", "0::/user/podcast", f"0::/pod{UID}x"]
)
def test_other_cgroups_are_no_pods(cgroup: str) -> None:
    """A process outside pods has no pod UID."""
    assert pod_uid(cgroup) == ""


def test_static_pods_have_a_hash() -> None:
    """A static pod's cgroup carries the hash of its manifest."""
    assert pod_uid("0::/kubepods/burstable/pod" + "5f3e" * 8 + "/x") == "5f3e" * 8


def test_namespaces_with_their_pods() -> None:
    """Pods, names and commands of a namespace are told once each."""
    process = {"pid": 5, "comm": "nginx", "cgroup": f"0::/kubepods/pod{UID}/{CID}"}
    raw = [{"inode": 7, "host": False, "names": ["cni-1"], "processes": [process, process]}]
    (found,) = decode_namespaces(json.dumps(raw).encode())
    assert (found.inode, found.names, found.pod_uids, found.processes) == (7, ("cni-1",), (UID,), ("nginx",))


def test_identity() -> None:
    """Host name, kernel and root namespace are taken; a root that is no number is none."""
    found = decode_identity(b'{"hostname": "n1", "kernel": "6.1.0", "root_netns": 4026531840}')
    assert (found.hostname, found.kernel, found.root) == ("n1", "6.1.0", 4026531840)
    assert decode_identity(b'{"root_netns": "x"}').root == 0


def test_sysctls_keep_dots_and_equals_signs_of_devices() -> None:
    """A device's name may hold dots and equals signs."""
    found = decode_sysctls("net/ipv4/conf/flannel.1/rp_filter=2\nnet/ipv4/conf/a=b/rp_filter=1\n")
    assert found.integer("net/ipv4/conf/flannel.1/rp_filter") == 2
    assert found.integer("net/ipv4/conf/a=b/rp_filter") == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["inode", "processes", "names", "cgroup", "1"]), inner)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("decode", [decode_identity, decode_namespaces, decode_nsids])
@given(raw=st.binary() | JSON.map(lambda v: json.dumps(v).encode()))
def test_garbage_is_a_value_error(decode: object, raw: bytes) -> None:
    """Whatever a node sends is decoded or refused with ValueError."""
    assert callable(decode)
    try:
        found = decode(raw)
    except ValueError:
        return
    assert found is not None
