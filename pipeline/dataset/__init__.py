"""What lies on disk: shards, records, index and manifest, written and read."""
