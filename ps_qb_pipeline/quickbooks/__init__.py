"""The books: OAuth and tokens, client, limiter, query, change data capture, batches, document bodies."""
