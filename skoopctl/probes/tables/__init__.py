"""The metrics of each probe, as tables: a row a metric."""
