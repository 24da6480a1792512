"""What one run is: from a configuration to a finished data set."""
