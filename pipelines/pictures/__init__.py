"""Pictures for people: turned upright, with boxes and their words drawn on them."""
