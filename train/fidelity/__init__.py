"""Fidelity: how well pictures follow their conditions, measured by extracting the conditions again."""
