# pyright: basic
"""The two lists of what was said to a session: its prompts, and every step that was taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from napari_fastsam3d._napari.contributions.settings import Settings, keep_shown
from napari_fastsam3d._napari.panels.fold import Fold
from napari_fastsam3d._napari.panels.history import HistoryPanel
from napari_fastsam3d._napari.panels.prompt_list import PromptList

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView


class SessionLists:
    """Both lists, each in a fold that stays as the user left it.

    Parameters
    ----------
    verbs : mapping of str to callable
        What each action of the table does.
    settings : Settings
        Says which of them is open at first.
    """

    def __init__(self, verbs: Mapping[str, Callable[[], None]], settings: Settings) -> None:
        self.prompts = PromptList(verbs)
        self.history = HistoryPanel()
        self.folds = (
            Fold("Prompts", self.prompts, settings.show_prompts, partial(keep_shown, "prompts")),
            Fold("History", self.history, settings.show_history, partial(keep_shown, "history")),
        )

    def serve(self, view: SessionView | None) -> None:
        """List what was said to another session, or nothing."""
        self.prompts.serve(view)
        self.history.serve(view)
