"""Models on their way into a registry and out of it: candidates, their weights, cards, names, and MLflow's view."""
