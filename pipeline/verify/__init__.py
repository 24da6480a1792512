"""`condset verify`: from a data set to its problems. Start at `dataset`."""
