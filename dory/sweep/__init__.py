"""Sweeps over a design space: one plan per memory size and core count, one estimate per pair of clocks."""
