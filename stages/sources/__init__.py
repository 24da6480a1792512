"""Where pairs of images and captions come from."""
