"""The review server: who may ask, what is shown, what is kept."""
