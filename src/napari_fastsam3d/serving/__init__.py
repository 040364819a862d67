"""A model behind HTTP, for many users: one process, or replicas on Ray Serve (extra `serve`)."""
