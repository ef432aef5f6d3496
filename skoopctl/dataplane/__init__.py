"""The packet's walk through the model: hooks, rules, NAT, routes, bridges, tunnels, both directions.

Pure: a `Flow` and the collected hosts in, a `PathResult` with every step and its evidence out (`path.walk`).
"""
