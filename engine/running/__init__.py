"""The parts of :mod:`engine.runner`: stages, the processes that run them, and the flow of units through these."""
