"""What is taken from the reference implementations: their networks, without their side effects."""
