"""LAION-Aesthetics' metadata: parquet of URLs, filtered and sampled."""
