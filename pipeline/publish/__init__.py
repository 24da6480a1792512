"""How a data set is described and published."""
