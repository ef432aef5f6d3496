"""What the rules of a hook decide: iptables, nftables, IPVS, in the order in which the kernel asks them."""
