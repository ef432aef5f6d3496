"""How hosts are asked: one connection and one exec each, with deadlines, and one result per host."""

from __future__ import annotations

from skoopctl.transport.base import Deadlines, HostResult, HostStatus, Job

__all__ = ["Deadlines", "HostResult", "HostStatus", "Job"]
