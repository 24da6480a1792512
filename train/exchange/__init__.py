"""How adapters come and go: stored, exported, described."""
