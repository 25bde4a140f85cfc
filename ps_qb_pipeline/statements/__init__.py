"""Files that payment providers and banks deliver: reading, landing, approving. Not the matching, which is SQL."""
