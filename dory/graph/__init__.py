"""The integer graph: frozen, typed, in HWC order, with every number range-checked."""
