"""The fault simulator: the real posting code in one process, under seeded time, network, database and people."""
