"""The commands, a file for each group: what it asks (``add``), and what it calls.

Each command imports what it needs when it runs, so that ``--help`` is quick, and after it has read its recipe, so that
a mistake is told at once: imports take seconds. Beside the groups lie
``command_line.py``, which puts them together, and its parts: the parser, the exit statuses, what becomes of output that
cannot be printed.
"""
