"""Layers of the viewer: what they show, and what the mouse does in them."""
