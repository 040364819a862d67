"""Planes of the patient: turning to them, the letters at their edges, and views side by side."""
