"""What surrounds a training run: its plan, its memory, its bar, its evaluation along the way."""
