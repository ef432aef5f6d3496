"""Inspection runs: a plan and a snapshot become a result, which is kept, compared and shown."""
