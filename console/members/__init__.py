"""The people who use the console, and how they sign in."""
