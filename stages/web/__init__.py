"""How a URL is fetched, whether a photograph or a large file, and which addresses are never asked."""
