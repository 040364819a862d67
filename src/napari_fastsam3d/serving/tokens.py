"""Who may use a server: tokens, of which only hashes are kept."""

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.json_text import parse_json

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = "fs3d_"


@dataclass(frozen=True)
class Token:
    """A token, without itself.

    Parameters
    ----------
    id : str
        What it is called when it is revoked.
    user : str
        Whose it is.
    sha256 : str
        Hash of the token. It has 256 random bits, so nothing slower is needed.
    made : str
        When.
    revoked : bool
    """

    id: str
    user: str
    sha256: str
    made: str
    revoked: bool = False


class TokenFile:
    """The tokens of a server. A change on disk counts at the next request.

    Parameters
    ----------
    path : Path
        Made with the first token, for its owner alone to read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: tuple[int, int, int] | None = None
        self._by_hash: dict[str, Token] = {}

    def tokens(self) -> list[Token]:
        """Return all tokens, the revoked ones too."""
        self._refresh()
        return list(self._by_hash.values())

    def add(self, user: str) -> tuple[Token, str]:
        """Make a token for a user; return it, and the secret, which is kept nowhere."""
        if not _USER.fullmatch(user):
            raise ServerError(
                f"{user!r} can't be the name of a user.",
                "Use at most 64 letters, digits, dots, hyphens and underscores.",
            )
        secret = _PREFIX + secrets.token_urlsafe(32)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        token = Token(secrets.token_hex(4), user, _hashed(secret), made)
        with self._alone():
            self._write([*self.tokens(), token])
        return token, secret

    def revoke(self, which: str) -> list[Token]:
        """Revoke the token of that id, or all of a user; ServerError if there is none."""
        with self._alone():
            found = [t for t in self.tokens() if which in (t.id, t.user) and not t.revoked]
            if not found:
                raise ServerError(
                    f"There is no token or user {which}, or all are revoked.",
                    "List them with: napari-fastsam3d tokens list",
                )
            self._write([replace(t, revoked=True) if t in found else t for t in self.tokens()])
        return found

    def user_of(self, secret: str) -> str | None:
        """Return whose token this is; None if nobody's, or revoked."""
        self._refresh()
        # A dictionary tells by its time whether a hash is there, which says nothing of a secret.
        token = self._by_hash.get(_hashed(secret))
        return None if token is None or token.revoked else token.user

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._read_at, self._by_hash = None, {}
            return
        except OSError as error:
            raise self._not_readable(error) from error
        if os.name == "posix" and status.st_mode & stat.S_IWOTH:
            self._read_at, self._by_hash = None, {}
            raise ServerError(
                f"Everybody on this machine may write to {self.path}, and so let themselves in.",
                f"Look who is in it, then: chmod 600 {self.path}",
            )
        now = (status.st_mtime_ns, status.st_ino, status.st_size)
        if now == self._read_at:
            return
        try:
            tokens = [Token(**each) for each in parse_json(self.path.read_text("utf-8"))["tokens"]]
        except OSError as error:
            raise self._not_readable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            self._read_at, self._by_hash = None, {}
            raise ServerError(
                f"The tokens in {self.path} can't be read.", "Bring the file back from a backup."
            ) from error
        self._read_at, self._by_hash = now, {token.sha256: token for token in tokens}

    def _not_readable(self, error: OSError) -> ServerError:
        self._read_at, self._by_hash = None, {}
        return ServerError(
            f"The tokens in {self.path} can't be read: {error.strerror}.",
            "Let the user who runs the server own the folder and its files.",
        )

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keep other processes from writing meanwhile: a token revoked there must stay so."""
        from filelock import FileLock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self.path.with_name(".tokens.lock"), mode=0o600)
            lock.acquire()
        except OSError as error:
            raise ServerError(
                f"{self.path} can't be written: {error.strerror}.",
                "Run this as the user who runs the server.",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _write(self, tokens: list[Token]) -> None:
        with replacing(self.path, ".json") as temporary:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"version": 1, "tokens": [asdict(each) for each in tokens]}, file)
        with suppress(OSError):
            self.path.chmod(0o600)


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
