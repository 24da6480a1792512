"""How the small base model is made that condset ships: a latent diffusion model of the drawn scenes."""
