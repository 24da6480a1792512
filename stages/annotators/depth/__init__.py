"""Relative depth by MiDaS."""
