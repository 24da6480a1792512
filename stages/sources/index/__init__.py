"""What every source's rows have in common: one schema, safe names, identities that occur once."""
