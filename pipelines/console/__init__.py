"""What a job and the person who runs it tell each other: bars, plain text, signals."""
