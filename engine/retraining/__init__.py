"""Decides when to retrain: the policy, the records of runs, and the times of a schedule."""
