# pyright: basic
"""The settings of the plugin, kept by napari and edited in its Preferences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.settings import get_plugin_settings

PLUGIN = "napari-fastsam3d"


@dataclass(frozen=True)
class Settings:
    """What the user chose the last time; the defaults where nothing can be read."""

    model: str = "default"
    device: str = "auto"
    opacity: float = 0.5
    show_crop: bool = False
    journal: bool = True
    show_prompts: bool = True
    show_history: bool = False


def load_settings() -> Settings:
    """Read the settings; a plugin that napari does not know (a bare widget) has the defaults."""
    kept = _kept()
    if kept is None:
        return Settings()
    engine, display = kept.engine, kept.display
    journal = kept.safety.journal
    return Settings(
        engine.model,
        engine.device,
        display.opacity,
        display.show_crop,
        journal,
        display.show_prompts,
        display.show_history,
    )


def keep_engine(model: str, device: str) -> None:
    """Remember model and device for the next time."""
    kept = _kept()
    if kept is not None:
        kept.engine.model, kept.engine.device = model, device


def keep_show_crop(shown: bool) -> None:
    """Remember whether the model's view is outlined."""
    kept = _kept()
    if kept is not None:
        kept.display.show_crop = shown


def keep_show_prompts(shown: bool) -> None:
    """Remember whether the list of prompts is open."""
    kept = _kept()
    if kept is not None:
        kept.display.show_prompts = shown


def keep_show_history(shown: bool) -> None:
    """Remember whether the list of steps is open."""
    kept = _kept()
    if kept is not None:
        kept.display.show_history = shown


def _kept() -> Any:
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None
