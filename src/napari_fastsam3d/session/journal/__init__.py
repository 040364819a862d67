"""The log of a session on disk, and what is left of it after a crash."""
