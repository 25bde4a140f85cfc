"""Tests of the reconciliation models."""
