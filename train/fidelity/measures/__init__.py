"""How well one picture follows one condition."""
