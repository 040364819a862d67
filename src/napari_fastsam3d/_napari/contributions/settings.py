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
    show_scan: bool = True
    show_tools: bool = True
    show_objects: bool = True
    layout: str = "auto"


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
        display.show_scan,
        display.show_tools,
        display.show_objects,
        display.layout,
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


def keep_shown(part: str, shown: bool) -> None:
    """Remember whether a part of the panel is open: scan, tools, objects, prompts or history."""
    kept = _kept()
    if kept is not None:
        setattr(kept.display, f"show_{part}", shown)


def keep_layout(layout: str) -> None:
    """Remember which layout the user chose."""
    kept = _kept()
    if kept is not None:
        kept.display.layout = layout


def _kept() -> Any:
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None
