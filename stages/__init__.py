"""What flows: from a row of a collection to the encoded members of a sample. Plain Python, without Ray."""
