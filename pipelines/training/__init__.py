"""The surroundings of a training run: its plan, its memory, its progress bar, and evaluations along the way."""
