"""The commands of the user: what each does, how it is called, its keys and when it is enabled."""
