"""What is frozen: Stable Diffusion, or a small one for tests."""
