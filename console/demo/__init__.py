"""The demo fleet: a dozen SSH servers on this machine, to try the console with."""
