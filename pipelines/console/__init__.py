"""What a job and the person who runs it tell each other: bars, numbers, plain text, signals."""
