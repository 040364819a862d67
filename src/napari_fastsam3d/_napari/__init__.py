"""The napari side: one dock widget, readers, a writer and sample data. Nothing imports this."""
