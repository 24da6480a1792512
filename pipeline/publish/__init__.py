"""What a data set shows to others: its card, and its way to a hub. Start at `card` and `push`."""
