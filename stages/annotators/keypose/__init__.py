"""Persons as skeletons and keypoints, by MMPose's networks or a collection's annotations."""
