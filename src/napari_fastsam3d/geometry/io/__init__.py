"""Files: volumes and masks in every format that is read or written, a format a module."""
