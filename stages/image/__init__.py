"""What happens to pixels: decoding, cropping, encoding, and the label maps that are cut along."""
