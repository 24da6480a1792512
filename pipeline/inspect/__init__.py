"""What is in a data set, as numbers and as a picture."""
