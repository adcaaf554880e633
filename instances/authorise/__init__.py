"""Placing public keys on instances, and taking them away again."""
