"""The reports: one model read from the warehouse, and its renderings for people and machines."""
