"""What surrounds a labelling job: its stages, how a unit is committed, its books, its log, its sums."""
