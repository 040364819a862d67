"""FastSAM3D and SAM-Med3D, as published: one family of networks, read from its checkpoints."""
