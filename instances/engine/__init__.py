"""Runs one command on one machine and says truly how it ended; knows nothing of Django or the database."""
