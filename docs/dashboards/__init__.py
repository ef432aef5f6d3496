"""Where the Grafana dashboards of `reports/grafana` are written: ``python -m docs.dashboards``, or ``make docs``.

A dashboard is a table: rows of panels, each with its queries and what the number means. `grafana.py` turns tables
into JSON; the viewer in `pictures/` draws them from a real Prometheus, for the documentation.
"""
