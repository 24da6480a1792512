"""Commands that look at data, weights and speed."""
