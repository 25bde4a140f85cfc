"""Files that payment providers and banks deliver."""
