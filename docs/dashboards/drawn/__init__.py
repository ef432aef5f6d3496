"""A viewer for the documentation: dashboards as SVG, from their JSON and a real Prometheus. It is not Grafana.

It draws what these dashboards use (lines, numbers, tables, rows) on the grid that Grafana would use.
"""
