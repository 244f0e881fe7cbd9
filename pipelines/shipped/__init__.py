"""How what ships with the project was made: the caption parser and the model nano."""
