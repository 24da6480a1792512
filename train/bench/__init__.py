"""How fast training is here, beside a plain loop."""
