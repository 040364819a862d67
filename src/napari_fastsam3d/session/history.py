"""The log of what the user did, with a cursor in it: undo and redo move the cursor."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from napari_fastsam3d.errors import FastSAM3DError, SessionError
from napari_fastsam3d.session.object_actions import SelectObject
from napari_fastsam3d.session.state import Action, SessionState


@dataclass(frozen=True)
class LogEntry:
    """One action of the user.

    Parameters
    ----------
    serial : int
        Its number in the log; never used again, also when the entry is gone.
    action : Action
        What was done.
    state : SessionState
        The state after it.
    """

    serial: int
    action: Action
    state: SessionState


@dataclass(frozen=True)
class History:
    """The log. Every change returns a new one; states are shared between them.

    One action of the user is one step of undo. Which object is selected is where the user looks,
    not what was done: `select` is no step of its own and leaves what can be redone alone. Undo
    and redo select the object that they change, so that the user sees what happened; where they
    change none, as with the rule of overlap, the one that is selected stays so.

    The states of the entries follow from the actions alone, whatever was selected between them:
    so a log that was read from a journal goes on as the one that was written.

    Parameters
    ----------
    entries : tuple of LogEntry
        What was done, and after the cursor what was undone and can be redone.
    cursor : int
        Number of entries that are done.
    looking_at : int or None
        The object that is selected; None where it is that of the last entry's state.
    next_serial : int
        Serial of the next entry.
    touched : int or None
        Id of the object that the last change, undo and redo included, was about.
    """

    entries: tuple[LogEntry, ...] = ()
    cursor: int = 0
    looking_at: int | None = None
    next_serial: int = 1
    touched: int | None = field(default=None, compare=False)

    @property
    def state(self) -> SessionState:
        """The state now."""
        state = self._replayed
        if self.looking_at is None or not state.has(self.looking_at):
            return state
        return SelectObject(self.looking_at).apply(state)

    @property
    def actions(self) -> tuple[Action, ...]:
        """What was done and not undone; `replay` makes the same objects of it."""
        return tuple(entry.action for entry in self.entries[: self.cursor])

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self.cursor > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a step that was taken back."""
        return self.cursor < len(self.entries)

    def do(self, action: Action) -> "History":
        """Add an action after the cursor, dropping what could be redone.

        Raises
        ------
        SessionError, PromptError
            If the action makes no sense in the present state.
        """
        before = self._replayed
        entry = LogEntry(self.next_serial, action, action.apply(before))
        elsewhere = self.looking_at not in (None, before.current)
        selected = (action.apply(self.state) if elsewhere else entry.state).current
        return History(
            (*self.entries[: self.cursor], entry),
            self.cursor + 1,
            None if selected == entry.state.current else selected,
            self.next_serial + 1,
            action.object,
        )

    def select(self, number: int) -> "History":
        """Make an object the current one; SessionError if there is none of that id."""
        return replace(self, looking_at=self.state.object(number).id, touched=number)

    def undo(self) -> "History":
        """Take the last step back; SessionError if there is none."""
        if not self.can_undo:
            raise SessionError("There is nothing to undo.", "Add a point or a box first.")
        return self._moved(self.cursor - 1, self.entries[self.cursor - 1])

    def redo(self) -> "History":
        """Do again what `undo` took back; SessionError if there is nothing."""
        if not self.can_redo:
            raise SessionError("There is nothing to redo.", "Undo a step first.")
        return self._moved(self.cursor + 1, self.entries[self.cursor])

    def withdraw(self, serial: int) -> "History":
        """Return the log as if one action had never been done.

        Later actions that make no sense without it go with it.
        """
        history = replace(History(), next_serial=self.next_serial)
        for place, entry in enumerate(self.entries):
            if entry.serial != serial:
                history = history._again(entry, done=place < self.cursor)
        return replace(history, looking_at=self.looking_at)

    @property
    def _replayed(self) -> SessionState:
        return self.entries[self.cursor - 1].state if self.cursor else SessionState()

    def _moved(self, cursor: int, over: LogEntry) -> "History":
        touched = over.action.object
        looking_at = self.state.current if touched is None else touched
        return replace(self, cursor=cursor, looking_at=looking_at, touched=touched)

    def _again(self, entry: LogEntry, done: bool) -> "History":
        before = self.entries[-1].state if self.entries else SessionState()
        try:
            state = entry.action.apply(before)
        except FastSAM3DError:
            return self
        entries = (*self.entries, replace(entry, state=state))
        return replace(self, entries=entries, cursor=self.cursor + int(done))


def replay(actions: Sequence[Action]) -> SessionState:
    """Return the state that actions make of an empty session."""
    state = SessionState()
    for action in actions:
        state = action.apply(state)
    return state
