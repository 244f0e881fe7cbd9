"""Models and the registry: candidates, their weights, cards, names of versions, and the mirror in MLflow."""
