"""Tests of the shop's room."""
