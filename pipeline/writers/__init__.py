"""Who may write into a directory now? Leases, and what becomes of one whose writer is gone."""
