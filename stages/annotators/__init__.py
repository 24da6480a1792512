"""What makes a condition out of an image."""
