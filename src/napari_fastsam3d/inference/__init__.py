"""From prompts to a mask: pure, without a log, a thread or a file."""
