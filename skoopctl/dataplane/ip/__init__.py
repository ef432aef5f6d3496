"""The IP layer of one namespace: receive, route, forward, deliver."""
