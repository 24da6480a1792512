"""Where published collections of pictures come from: which archives they are, and how those get onto the disk."""
