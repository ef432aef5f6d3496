"""Long conversations with nodes: one connection each, rounds for as long as it takes, again after each break."""
