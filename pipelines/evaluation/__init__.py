"""What surrounds an evaluation: the job that asks a model, its answers and where they lie, what it is examined on."""
