"""What do the drivers of storage raise, and what is a user told of it?"""
