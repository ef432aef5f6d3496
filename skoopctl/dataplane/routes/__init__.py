"""Where a packet goes: policy rules, routing tables, next hops, source addresses and their checks."""
