"""How fast data is made here, beside the reference implementations."""
