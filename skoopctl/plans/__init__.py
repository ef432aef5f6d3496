"""Inspection plans: files that people write, and the ones that come with skoopctl."""
