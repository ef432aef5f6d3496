"""eBPF on demand: the built programs, what they are attached to, and the events that come out of them. Pure."""
