"""Reviewers' verdicts: stored beside a dataset, applied by every reader, searched and counted."""
