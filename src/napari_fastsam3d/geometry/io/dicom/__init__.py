"""DICOM: headers, images sorted into volumes, intensities."""
