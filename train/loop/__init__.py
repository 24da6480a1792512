"""What a step is, and a run of them."""
