"""What can be typed about data sets."""
