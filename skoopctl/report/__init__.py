"""A diagnosis as people and programs see it: text, JSON, a picture, a page. All are pure functions."""
