"""What one training is: an adapter fitted on shards against a frozen base."""
