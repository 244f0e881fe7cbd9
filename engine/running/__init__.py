"""What runs a job: stages, the processes that hold them, which of them gets which unit. :mod:`engine.runner` drives."""
