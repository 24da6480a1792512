"""Tars of image-caption pairs, such as img2dataset's."""
