"""Accepted cases, kept on this machine, and how they are recalled for later ones."""
