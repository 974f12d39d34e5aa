"""What else could be written, each a process of its own that prints what it measured of itself."""
