"""The napari side: one dock widget, readers, a writer and sample data. Nothing imports this."""

from napari_fastsam3d._napari.contributions.pyside_guard import guard

# References are lost from the first event of the window on: nothing of this plugin comes earlier.
guard()
