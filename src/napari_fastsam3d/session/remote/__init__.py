"""A model that is served elsewhere: what is said to the server, and what makes masks by it."""
