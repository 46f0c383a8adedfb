"""Simulation: the instruction-set simulator."""
