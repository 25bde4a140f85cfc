"""The truth test of the reconciliation: differences made in two sandboxes, and what is said of them."""
