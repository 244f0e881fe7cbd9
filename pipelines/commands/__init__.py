"""The commands, a file for each group: what it asks (``add``), and what it calls.

Each command imports what it needs when it runs, so that ``--help`` is quick.
"""
