"""Drawn scenes, whose content is known: for tests, the quickstart and a look at the whole."""
