"""A folder that looks like /sys with an RDMA device in it, for machines that have none."""

from __future__ import annotations

from pathlib import Path

COUNTERS = (
    "hw_rx_bytes_cnt",
    "hw_tx_bytes_cnt",
    "hw_rx_packets_cnt",
    "hw_tx_packets_cnt",
    "hw_bps_limit_drop_cnt",
    "hw_pps_limit_drop_cnt",
    "hw_rx_bps_limit_drop_cnt",
    "hw_rx_pps_limit_drop_cnt",
)


def rdma_tree(sysfs: Path) -> Path:
    """Make one port of an erdma device below ``sysfs``, its counters 1000, 2000 and so on; return ``sysfs``."""
    port = sysfs / "class/infiniband/erdma_0/ports/1/hw_counters"
    port.mkdir(parents=True)
    for number, name in enumerate(COUNTERS, 1):
        (port / name).write_text(f"{number * 1000}\n", encoding="ascii")
    return sysfs
