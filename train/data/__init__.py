"""What a step reads: samples in order, joined with their layers, with everything random drawn."""
