"""Who does the work: this process or a Ray cluster, and how a shard goes through it."""
