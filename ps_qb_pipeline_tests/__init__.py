"""Tests of the package, laid out as the package is; architecture, journeys, properties and faults beside it."""
