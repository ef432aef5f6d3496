"""Where metrics and events go."""
