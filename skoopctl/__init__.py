"""skoopctl finds out why traffic in a Kubernetes cluster does not arrive.

The rooms of this package follow the way that data flows (docs/architecture.md):
inventory, transport, evidence, kernel and cluster, dataplane, checks, report.
"""

__version__ = "0.1.0"
