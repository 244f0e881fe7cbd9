"""The grammar behind :mod:`engine.phrases`, without spaCy: chunks of a tree, rules that drop some of them, lemmas."""
