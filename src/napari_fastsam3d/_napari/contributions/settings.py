"""The settings of the plugin, stored by napari and edited in its Preferences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from napari.settings import get_plugin_settings

PLUGIN = "napari-fastsam3d"


@dataclass(frozen=True)
class WorklistSettings:
    """The folders and patterns of the worklist that was opened last."""

    folder: str = ""
    output: str = ""
    pattern: str = "{case}_mask.nii.gz"
    scans: str = "*"


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
    show_memory: bool = False
    recall: str = "reader"
    remember: str = "ask"
    interpolation: str = "linear"
    scroll_slices: str = "tool"
    worklist: WorklistSettings = WorklistSettings()


class _Engine(Protocol):
    model: str
    device: str


class _Display(Protocol):
    opacity: float
    show_crop: bool
    layout: str
    show_scan: bool
    show_tools: bool
    show_objects: bool
    show_prompts: bool
    show_history: bool
    show_memory: bool
    interpolation: str
    scroll_slices: str


class _Memory(Protocol):
    recall: str
    remember: str


class _Worklist(Protocol):
    folder: str
    output: str
    pattern: str
    scans: str


class _Safety(Protocol):
    journal: bool


class _Stored(Protocol):
    """The settings as napari keeps them, by the sections of the manifest."""

    engine: _Engine
    display: _Display
    safety: _Safety
    memory: _Memory
    worklist: _Worklist


def load_settings() -> Settings:
    """Read the settings; a plugin that napari does not know (a bare widget) has the defaults."""
    stored = _stored()
    if stored is None:
        return Settings()
    engine, display = stored.engine, stored.display
    journal, memory, worklist = stored.safety.journal, stored.memory, stored.worklist
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
        display.show_memory,
        memory.recall,
        memory.remember,
        display.interpolation,
        display.scroll_slices,
        WorklistSettings(worklist.folder, worklist.output, worklist.pattern, worklist.scans),
    )


def save_model(model: str, device: str) -> None:
    """Save model and device for the next time."""
    stored = _stored()
    if stored is not None:
        stored.engine.model, stored.engine.device = model, device


def save_show_crop(shown: bool) -> None:
    """Save whether the model's view is outlined."""
    stored = _stored()
    if stored is not None:
        stored.display.show_crop = shown


def save_shown(part: str, shown: bool) -> None:
    """Save whether a part of the panel is open: scan, tools, objects and so on."""
    stored = _stored()
    if stored is not None:
        setattr(stored.display, f"show_{part}", shown)


def save_recall(way: str) -> None:
    """Save how accepted cases are recalled."""
    stored = _stored()
    if stored is not None:
        stored.memory.recall = way


def save_remember(when: str) -> None:
    """Save when an accepted object is remembered."""
    stored = _stored()
    if stored is not None:
        stored.memory.remember = when


def save_worklist(folder: str, output: str, pattern: str, scans: str) -> None:
    """Save which worklist was opened."""
    stored = _stored()
    if stored is not None:
        kept = stored.worklist
        kept.folder, kept.output, kept.pattern, kept.scans = folder, output, pattern, scans


def save_layout(layout: str) -> None:
    """Save which layout the user chose."""
    stored = _stored()
    if stored is not None:
        stored.display.layout = layout


def _stored() -> _Stored | None:
    try:
        return cast(_Stored, get_plugin_settings(PLUGIN))
    except KeyError:
        return None
