"""Rules of a selection, on samples and on columns, and the scores that a calibration asks for at a precision."""
