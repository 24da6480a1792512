"""A collection's label maps as pictures."""
