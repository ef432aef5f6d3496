"""What works on each node and what would: the login, the program's tools, the kernel, eBPF, clock and memory.

A node is asked once, with the node program and the transports of everything else. `catalogue.CHECKS` is the
table of what is judged; docs/doctor.md is written from it. Nothing on a node is changed.
"""
