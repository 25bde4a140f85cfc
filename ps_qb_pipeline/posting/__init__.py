"""From the documents that should exist to the documents that do, exactly once. Import the concrete modules."""
