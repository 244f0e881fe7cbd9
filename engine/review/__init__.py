"""Verdicts of reviewers: kept beside a dataset, applied by every reader, searched and counted."""
