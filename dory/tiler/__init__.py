"""Tiles, memory placement and the Plan."""
