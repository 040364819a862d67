"""Tokens: of which only hashes are kept, revoked at once, in a file for its owner alone."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.serving.tokens import TokenFile


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "server" / "tokens.json")


def test_a_token_lets_in_its_user_and_is_kept_nowhere(file: TokenFile):
    token, secret = file.add("anna")

    assert file.user_of(secret) == "anna"
    assert TokenFile(file.path).user_of(secret) == "anna"
    assert secret not in file.path.read_text()
    assert len(secret) > 43
    assert token.sha256 not in secret
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_secrets_differ_and_so_do_ids(file: TokenFile):
    made = [file.add("anna") for _ in range(20)]

    assert len({secret for _, secret in made}) == 20
    assert len({token.id for token, _ in made}) == 20


def test_no_other_text_lets_in(file: TokenFile):
    token, secret = file.add("anna")

    for text in ("", " ", secret[:-1], secret + "0", secret.upper(), token.sha256, "\udcff", "ä"):
        assert file.user_of(text) is None


def test_one_token_or_all_of_a_user_are_revoked_by_whichever_process(file: TokenFile):
    (first, one), (_, two), (_, other) = (file.add(name) for name in ("anna", "anna", "berta"))
    elsewhere = TokenFile(file.path)
    assert elsewhere.user_of(one) == "anna"
    file.revoke(first.id)
    assert [elsewhere.user_of(each) for each in (one, two, other)] == [None, "anna", "berta"]
    assert len(elsewhere.revoke("anna")) == 1
    assert [file.user_of(each) for each in (one, two, other)] == [None, None, "berta"]
    with pytest.raises(ServerError, match="tokens list"):
        file.revoke("anna")
    _, again = file.add("anna")

    assert elsewhere.user_of(again) == "anna"
    assert elsewhere.user_of(one) is None


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "äää", "a b", "a" * 65, "x\n"])
def test_names_that_could_be_paths_are_refused(file: TokenFile, name: str):
    """A user's volumes lie in a folder of that name."""
    with pytest.raises(ServerError, match="name of a user"):
        file.add(name)
    assert not file.path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"tokens": 3}',
        '{"tokens": [{"id": 1}]}',
        pytest.param("[" * 10**5, id="nested"),
    ],
)
def test_a_damaged_file_lets_in_nobody_and_is_not_overwritten(file: TokenFile, text: str):
    secret = file.add("anna")[1]
    file.path.write_text(text)
    for act in (lambda: file.user_of(secret), lambda: file.add("berta"), file.tokens):
        with pytest.raises(ServerError, match="can't be read"):
            act()

    assert file.path.read_text() == text


def test_a_file_that_is_gone_lets_in_nobody(file: TokenFile):
    secret = file.add("anna")[1]
    assert file.user_of(secret)
    file.path.unlink()

    assert file.user_of(secret) is None
    assert file.tokens() == []


def test_processes_that_write_at_once_lose_nothing(file: TokenFile):
    """Above all no revocation."""
    old = file.add("berta")[1]

    def add(n: int) -> str:
        return TokenFile(file.path).add(f"user{n}")[1]

    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(add, n) for n in range(8)]
        revoked = pool.submit(TokenFile(file.path).revoke, "berta")
        made += [pool.submit(add, n) for n in range(8, 16)]
        secrets = [each.result() for each in made]
        assert revoked.result()

    assert [file.user_of(each) for each in secrets] == [f"user{n}" for n in range(16)]
    assert file.user_of(old) is None


@pytest.mark.skipif(os.name != "posix", reason="rights of files as POSIX has them")
def test_a_file_that_everybody_may_write_to_lets_in_nobody(file: TokenFile):
    secret = file.add("anna")[1]
    file.path.chmod(0o666)
    with pytest.raises(ServerError, match="chmod 600"):
        file.user_of(secret)
    file.path.chmod(0o660)

    assert file.user_of(secret) == "anna"


def test_what_cannot_be_read_is_not_taken_for_no_tokens(file: TokenFile):
    secret = file.add("anna")[1]
    file.path.unlink()
    file.path.mkdir()
    for act in (lambda: file.user_of(secret), lambda: file.add("berta"), file.tokens):
        with pytest.raises(ServerError, match="own the folder"):
            act()
