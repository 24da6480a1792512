"""Sketches by PiDiNet."""
