"""Rules about rows: read from the contracts of the models, run by two engines, ending in holds."""
