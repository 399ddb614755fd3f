"""Helpers for the tests of more than one folder."""
