"""What surrounds a scheduled retraining: the facts that its policy looks at, and who is told of the outcome."""
