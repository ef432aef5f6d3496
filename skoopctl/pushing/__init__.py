"""``skoopctl push``: its configuration, what it does on a schedule, and the page that shows it."""
