# pyright: basic
"""Rows of a list, made and taken away at its end, so that the others stay as they are."""

from __future__ import annotations

from qtpy.QtWidgets import QListWidget, QListWidgetItem


def fit_rows(rows: QListWidget, count: int) -> None:
    """Give a list exactly so many rows; new ones are empty."""
    while rows.count() > count:
        rows.takeItem(rows.count() - 1)
    while rows.count() < count:
        rows.addItem(QListWidgetItem())
