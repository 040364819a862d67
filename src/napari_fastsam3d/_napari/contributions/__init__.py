"""What the plugin contributes to napari itself: readers, the writer, sample data."""
