"""From what a node sends to numbers: one pure function a source. What cannot be read raises ValueError with why."""
