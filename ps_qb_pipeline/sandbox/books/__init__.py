"""A QuickBooks Online company over real HTTP: OAuth, the v3 API, a ledger that balances, and faults on demand."""
