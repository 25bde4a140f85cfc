"""Tests of accounting: from shop rows to documents, to the cent."""
