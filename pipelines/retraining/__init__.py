"""The surroundings of a retraining: the facts for its policy, the webhook, and the folders of old runs."""
