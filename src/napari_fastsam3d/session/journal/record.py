"""What changed from one moment of the log to the next, as one line of text with a checksum."""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_fastsam3d.errors import FastSAM3DError, SessionError
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.inference.json_values import whole
from napari_fastsam3d.session.codec import action_from_json, action_to_json
from napari_fastsam3d.session.history import History, LogEntry
from napari_fastsam3d.session.state import Action, SessionState

_START = re.compile(rb'[0-9a-f]{8} \{"number":[\x20-\x7e]*')
_CHECKSUM = 9  # characters of it, with the blank after it
_LAST = 2**53  # numbers beyond no session reaches, and not every reader of JSON can hold


@dataclass(frozen=True)
class LogRecord:
    """One change of the log: what was added to it, what went, and where the cursor is then.

    A record names entries by their serials, never by their places, so that those after one that
    was lost still make sense.

    Parameters
    ----------
    number : int
        Records are counted from 1.
    gone : tuple of int
        Serials of the entries that went, as what could be redone does at a new action.
    new : mapping of int to Action
        The entries that came, by their serials.
    done : int
        Serial of the last entry that is done; 0 if none is.
    looking_at : int or None
        The current object.
    next_serial : int
        See `History`.
    """

    number: int
    gone: tuple[int, ...]
    new: Mapping[int, Action]
    done: int
    looking_at: int | None
    next_serial: int

    @classmethod
    def between(cls, number: int, before: History, after: History) -> "LogRecord":
        """Return the record that makes one log of another."""
        same = 0
        for old, new in zip(before.entries, after.entries, strict=False):
            if old.serial != new.serial or (
                old.action is not new.action and old.action != new.action
            ):
                break
            same += 1
        added = {entry.serial: entry.action for entry in after.entries[same:]}
        gone = tuple(e.serial for e in before.entries[same:] if e.serial not in added)
        done = after.entries[after.cursor - 1].serial if after.cursor else 0
        # The current object of a state may be one selected before the action, which replay of the
        # actions alone would not find again.
        return cls(number, gone, added, done, after.state.current, after.next_serial)

    @classmethod
    def from_line(cls, line: object) -> "LogRecord | None":
        """Return what `to_line` wrote; None if it is damaged, to something else than text even."""
        if not isinstance(line, str):
            return None
        checksum, _, text = line.partition(" ")
        try:
            if int(checksum, 16) != zlib.crc32(text.encode()):
                return None
            data: dict[str, Any] = parse_json(text)
            number, looking_at = whole(data["number"]), data["looking_at"]
            if not 1 <= number <= _LAST:
                return None
            return cls(
                number,
                tuple(map(whole, data["gone"])),
                {whole(serial): action_from_json(action) for serial, action in data["new"]},
                whole(data["done"]),
                None if looking_at is None else whole(looking_at),
                whole(data["next_serial"]),
            )
        except (ValueError, KeyError, TypeError, SessionError):
            return None

    @classmethod
    def is_newer(cls, line: object) -> bool:
        """Whether a line is whole, and yet none that this version knows how to read."""
        if not isinstance(line, str):
            return False
        checksum, _, text = line.partition(" ")
        try:
            intact = int(checksum, 16) == zlib.crc32(text.encode()) and "number" in parse_json(text)
        except (ValueError, TypeError):
            return False
        return intact and cls.from_line(line) is None

    def to_line(self) -> str:
        """Return the record as one line: CRC-32 in hexadecimal, a blank, ASCII JSON."""
        data = {
            "number": self.number,
            "gone": self.gone,
            "new": [(serial, action_to_json(action)) for serial, action in self.new.items()],
            "done": self.done,
            "looking_at": self.looking_at,
            "next_serial": self.next_serial,
        }
        text = json.dumps(data, separators=(",", ":"))
        return f"{zlib.crc32(text.encode()):08x} {text}"


def records_in(raw: bytes) -> Iterator[LogRecord]:
    """Find the intact records in the bytes of a file of whatever kind."""
    decoder = json.JSONDecoder()
    for match in _START.finditer(raw):
        text = match.group().decode("ascii")
        try:
            _, end = decoder.raw_decode(text, _CHECKSUM)
        except (ValueError, RecursionError):
            continue
        record = LogRecord.from_line(text[:end])
        if record is not None:
            yield record


def restored(records: Iterable[LogRecord]) -> History:
    """Return the log that records, in the order of their numbers, tell of.

    Entries that make no sense, since one before them was lost, are left out.
    """
    actions: dict[int, Action] = {}
    last = None
    for last in records:
        for serial in last.gone:
            actions.pop(serial, None)
        actions.update(last.new)
    if last is None:
        return History()
    history = _log(sorted(actions.items()), last.done)
    history = replace(history, next_serial=max(last.next_serial, history.next_serial))
    if last.looking_at is None or not history.state.has(last.looking_at):
        return history
    return replace(history, looking_at=last.looking_at)


def _log(actions: Iterable[tuple[int, Action]], done: int) -> History:
    entries: list[LogEntry] = []
    state, cursor, serial = SessionState(), 0, 0
    for serial, action in actions:
        try:
            state = action.apply(state)
        except FastSAM3DError:
            continue
        entries.append(LogEntry(serial, action, state))
        cursor += serial <= done
    return History(tuple(entries), cursor, None, serial + 1)
