"""The event probes, a table for each family."""
