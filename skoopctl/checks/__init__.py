"""Findings: what is wrong, where, on what evidence, and what would fix it, checked by walking again.

`diagnose.diagnose` answers one question about one `Snapshot`; `catalogue` documents every finding.
"""
