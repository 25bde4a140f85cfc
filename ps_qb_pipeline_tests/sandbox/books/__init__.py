"""Tests of the sandbox's books."""
