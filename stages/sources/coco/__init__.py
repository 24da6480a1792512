"""COCO 2017 and COCO-Stuff."""
