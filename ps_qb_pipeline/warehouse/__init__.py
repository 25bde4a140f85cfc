"""The DuckDB warehouse of one connection: opening it, landing rows, running SQL models, publishing."""
