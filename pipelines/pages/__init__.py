"""What pages are made of: the report, an evaluation, their figures, cards and templates."""
