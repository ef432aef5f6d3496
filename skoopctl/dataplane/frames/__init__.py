"""Below IP: neighbours, bridges, VLANs, and devices that stand on other devices."""
