"""`condset inspect`: from a data set to its statistics and its sheet. Start at `dataset` and `sheet`."""
