"""What instances are signed in to with."""
