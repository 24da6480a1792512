"""A folder of images, with captions in text files or a metadata file."""
