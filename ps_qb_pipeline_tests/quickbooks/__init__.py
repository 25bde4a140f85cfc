"""Tests of the books' client, against a stub that answers as the contract says."""
