"""Fitting adapters to a structure."""
