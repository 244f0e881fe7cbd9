"""The grammar behind :mod:`engine.phrases`: chunks of a tree, which of them name nothing to see, lemmas. No spaCy."""
