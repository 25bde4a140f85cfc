"""One step of the schema a file; a published step is never changed."""
