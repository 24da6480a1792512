"""How a URL is fetched, and which addresses are never asked."""
