"""rdma: what InfiniBand and RoCE devices hold and count."""

from __future__ import annotations

from skoopctl.probes.metric import POD_LABELS, Probe, Scope
from skoopctl.probes.reading import GAUGE, Reading, Row, readings
from skoopctl.probes.tables.rdma_erdma import ERDMA
from skoopctl.probes.tables.rdma_mlx5 import MLX5

RESOURCE_LABELS = (*POD_LABELS, "device", "type")
PORT_LABELS = (*RESOURCE_LABELS, "port")

_RESOURCES = (
    ("cm_id", "Connection manager ids in use."),
    ("cq", "Completion queues in use."),
    ("ctx", "User contexts in use."),
    ("mr", "Memory regions in use."),
    ("pd", "Protection domains in use."),
    ("qp", "Queue pairs in use."),
    ("srq", "Shared receive queues in use."),
)
_SRQ = "kernels from 5.13 on"

RDMA_READINGS: tuple[Reading, ...] = (
    *readings(
        "rdma",
        "rdma-resources",
        tuple(
            Row(
                name,
                text,
                GAUGE,
                only=f"RDMA hardware; {_SRQ}" if name == "srq" else "RDMA hardware",
                where=f"RES_SUMMARY {name}",
            )
            for name, text in _RESOURCES
        ),
        labels=RESOURCE_LABELS,
    ),
    *readings(
        "rdma",
        "rdma-counters",
        tuple(
            Row(name, text, name=f"kubeskoop_rdma_mlx5_{name}", only="devices mlx5_*") for name, text in MLX5
        ),
        where="mlx5",
        labels=PORT_LABELS,
    ),
    *readings(
        "rdma",
        "rdma-counters",
        tuple(
            Row(name, text, name=f"kubeskoop_rdma_erdma_{name}", only="devices erdma_*")
            for name, text in ERDMA
        ),
        where="erdma",
        labels=PORT_LABELS,
    ),
)

RDMA = Probe(
    "rdma",
    "RDMA devices: resources in use, and the counters of mlx5 and erdma ports",
    Scope.HOST,
    ("rdma-counters", "rdma-resources"),
    tuple(reading.metric for reading in RDMA_READINGS),
    "/sys/class/infiniband/*/ports/*/{counters,hw_counters}; RDMA netlink (RDMA_NLDEV_CMD_RES_GET)",
    "one small file a counter, some 100 a port; nothing where there is no such device",
    "an InfiniBand or RoCE device",
)
