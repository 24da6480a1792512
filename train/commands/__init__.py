"""What can be typed about adapters."""
