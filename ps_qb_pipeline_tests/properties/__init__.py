"""Properties that hold for any order."""
