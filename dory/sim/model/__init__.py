"""The cycle model: a plan's cycles, transfers and energy without running it."""
