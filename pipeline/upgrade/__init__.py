"""Format 1, which nothing else reads, brought over to the present one."""
