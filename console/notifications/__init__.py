"""Telling people and programs that a run has ended."""
