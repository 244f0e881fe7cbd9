"""By what samples are left out: a language, an evaluation set they belong to, a picture that is there already."""
