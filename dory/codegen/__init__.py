"""Plan -> C application."""
