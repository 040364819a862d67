"""Making the default model: samples, a simulated user, and the trainer."""
