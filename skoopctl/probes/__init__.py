"""Metrics: which there are, how they are read out of what nodes say, and what in them is not as it should be. Pure."""
