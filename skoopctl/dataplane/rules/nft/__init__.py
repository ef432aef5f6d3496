"""nftables: base chains, statements, expressions, sets."""
