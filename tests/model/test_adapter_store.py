"""Adapters in files and versions: a model of what a folder holds, and files that others spoilt."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from napari_fastsam3d import cli
from napari_fastsam3d.errors import AdapterError, FastSAM3DError
from napari_fastsam3d.model.adaptation import AdapterConfig
from napari_fastsam3d.model.adapter import Adapter, Gain
from napari_fastsam3d.model.adapter_store import AdapterStore, folder_of

GAIN = Gain((0, 1, 3), (None, 0.5, 0.6), (0.7, 0.8, 0.85), cases=6, folds=3)


def made(structure: str = "Liver", weight: float = 0.0) -> Adapter:
    tensors = {"decoder.token.weight_shift": torch.full((2, 3), weight)}
    config = AdapterConfig("norm")
    return Adapter(structure, config, "0" * 64, "small", 1.5, 6, GAIN, tensors, "2026-11-29")


ACTIONS = st.one_of(
    st.tuples(st.just("add"), st.just(0)),
    st.tuples(st.sampled_from(["use", "remove"]), st.integers(0, 4)),
)


@settings(max_examples=15)
@given(actions=st.lists(ACTIONS, max_size=8))
def test_a_folder_holds_what_was_kept_and_uses_what_was_chosen(tmp_path_factory, actions):
    folder = tmp_path_factory.mktemp("adapters")
    kept: dict[int, str] = {}
    used = 0
    for number, (action, version) in enumerate(actions):
        store = AdapterStore(folder)
        if action == "add":
            added = store.add(made(weight=float(number)))
            used = max(kept, default=0) + 1
            kept[used] = added.identity
            assert added.version == used
        elif action == "use" and (version in kept or (version == 0 and used)):
            assert store.use("liver", version).identity == kept[version or used]
            used = version
        elif action == "remove" and version in kept:
            store.remove("liver", version)
            del kept[version]
            used = max(kept, default=0) if used == version else used
        elif version or action == "use":
            with pytest.raises(AdapterError, match="no adapter for"):
                getattr(store, action)("liver", version)
        again = AdapterStore(folder)
        assert {each.version: each.identity for each in again.versions("LIVER")} == kept
        assert again.version_in_use("liver") == used
        assert again.has("liver") == bool(used)
        assert again.structures() == (("Liver",) if used else ())
        for version, identity in kept.items():
            assert again.get("liver", version).identity == identity
            assert again.by_identity(identity).version in kept
        assert [*folder.iterdir()] == ([folder / folder_of("liver")] if kept else [])


@pytest.fixture
def spoilt(tmp_path) -> AdapterStore:
    """Three versions, the last in use, of which the second is damaged."""
    store = AdapterStore(tmp_path)
    for number in range(3):
        store.add(made(weight=float(number)))
    (tmp_path / folder_of("Liver") / "2.safetensors").write_bytes(b"torn")
    return store


def test_a_damaged_version_hides_no_other(spoilt):
    assert [each.version for each in spoilt.versions("liver")] == [1, 3]
    assert spoilt.structures() == ("Liver",)
    assert spoilt.by_identity(made(weight=0.0).identity).version == 1
    assert spoilt.by_identity(made(weight=1.0).identity) is None
    with pytest.raises(FastSAM3DError):
        spoilt.get("liver", 2)


def test_a_damaged_version_can_be_removed(spoilt):
    spoilt.remove("liver", 2)
    assert [each.version for each in spoilt.versions("liver")] == [1, 3]
    assert spoilt.version_in_use("liver") == 3
    assert spoilt.add(made(weight=9.0)).version == 4


def test_a_damaged_version_that_is_in_use_is_passed_over_and_left_behind(spoilt):
    (spoilt.path / folder_of("Liver") / "3.safetensors").write_bytes(b"torn")
    assert [*spoilt.in_use()] == []
    spoilt.use("liver", 1)
    assert [each.version for each in spoilt.in_use()] == [1]


def test_a_version_that_vanished_is_not_in_use(spoilt):
    (spoilt.path / folder_of("Liver") / "3.safetensors").unlink()
    assert not spoilt.has("liver")
    assert spoilt.version_in_use("liver") == 0
    with pytest.raises(AdapterError, match="no adapter for liver"):
        spoilt.get("liver")
    assert spoilt.get("liver", 1).version == 1


@pytest.mark.parametrize("note", [b"", b"two", b"-1", b"99", b"\xff\xfe", b"1.5"])
def test_a_damaged_note_of_what_is_in_use_uses_none(spoilt, note):
    (spoilt.path / folder_of("Liver") / "in_use").write_bytes(note)
    assert spoilt.version_in_use("liver") == 0
    spoilt.use("liver", 1)
    assert spoilt.version_in_use("liver") == 1


@pytest.mark.parametrize("name", ["notes.txt", "01.safetensors", "-1.safetensors", "٣.safetensors"])
def test_other_files_are_no_versions_and_stay(spoilt, name):
    other = spoilt.path / folder_of("Liver") / name
    other.write_bytes(b"mine")
    assert [each.version for each in spoilt.versions("liver")] == [1, 3]
    spoilt.remove("liver")
    assert other.read_bytes() == b"mine"
    assert spoilt.structures() == ()
    assert spoilt.add(made()).version == 1


def test_a_folder_that_is_not_there_is_empty_and_stays_so(tmp_path):
    store = AdapterStore(tmp_path / "none")
    assert store.structures() == store.versions("liver") == ()
    assert store.by_identity("0" * 32) is None
    with pytest.raises(AdapterError, match="Fit one"):
        store.get("liver")
    assert not (tmp_path / "none").exists()


def test_a_name_that_is_not_adapted_is_told_with_those_that_are(tmp_path):
    store = AdapterStore(tmp_path)
    for name in ("spleen", "Aorta"):
        store.add(made(name))
    with pytest.raises(AdapterError, match=r"for liver\. Adapted are: Aorta, spleen"):
        store.get("liver")
    with pytest.raises(AdapterError, match="version 7 of spleen"):
        store.get("spleen", 7)


@settings(max_examples=25)
@given(st.text(max_size=60), st.text(max_size=60))
def test_folders_tell_names_apart_but_for_capitals_and_spaces(one, other):
    def plain(name):
        return " ".join(name.split()).casefold()

    assert (folder_of(one) == folder_of(other)) == (plain(one) == plain(other))
    assert folder_of(f"  {one.upper()} ") == folder_of(one.upper())
    assert len(folder_of(one)) <= 50
    assert not set(folder_of(one)) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


def written(tmp_path, config=None, **changed):
    """An adapter's file whose metadata was changed."""
    adapter = made()
    told = {key: value for key, value in vars(adapter).items() if key not in ("tensors", "config")}
    told = {**told, "gain": asdict(GAIN), **changed}
    metadata = {
        "format": "napari-fastsam3d adapter 1",
        "config": json.dumps(asdict(adapter.config) if config is None else config),
        "adapter": json.dumps(told),
    }
    path = tmp_path / "changed.safetensors"
    save_file(adapter.tensors, path, metadata)
    return path


def test_a_file_is_read_as_it_was_written(tmp_path):
    read = Adapter.read(written(tmp_path))
    assert {**vars(read), "tensors": 0} == {**vars(made()), "tensors": 0}
    assert Adapter.read(written(tmp_path, gain=None)).gain is None
    assert Adapter.read(written(tmp_path, spacing=None)).spacing is None


@pytest.mark.parametrize(
    "changed",
    [
        *[{"structure": 3}, {"structure": None}, {"spacing": "fine"}, {"cases": 1.5}],
        *[{"version": "1"}, {"colour": "red"}, {"date": 20261129}, {"tensors": {}}],
        *[{"gain": value} for value in ("much", 3, [], {}, {"clicks": [0]})],
        {"gain": {**asdict(GAIN), "plain": [0.1]}},
        {"gain": {**asdict(GAIN), "adapted": ["a", "b", "c"]}},
        *[{"config": value} for value in ("norm", [], {"kind": "magic"}, {"rank": 4.5})],
    ],
)
def test_metadata_that_cannot_be_is_one_error(tmp_path, changed):
    with pytest.raises(AdapterError, match="no adapter of this version"):
        Adapter.read(written(tmp_path, **changed))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    made(weight=1.0).save(path)
    monkeypatch.setattr("napari_fastsam3d.model.adapter.save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made(weight=2.0).save(path)
    assert Adapter.read(path).identity == made(weight=1.0).identity
    assert [each.name for each in tmp_path.iterdir()] == ["one.safetensors"]


def test_weights_and_the_model_tell_adapters_apart_and_names_do_not():
    same = replace(made(), structure="spleen", date="2020-01-01", version=7, gain=None)
    assert same.identity == made().identity
    assert made(weight=1.0).identity != made().identity
    assert replace(made(), model="1" * 64).identity != made().identity
    other = {"decoder.other.weight_shift": torch.zeros(2, 3)}
    assert replace(made(), tensors=other).identity != made().identity


def test_a_gain_says_what_was_measured():
    assert str(GAIN) == "0 clicks - -> 0.700, 1 click 0.500 -> 0.800, 3 clicks 0.600 -> 0.850"
    assert GAIN.mean == pytest.approx((0.3 + 0.25) / 2)
    assert replace(GAIN, plain=(None,) * 3).mean == 0
    far = replace(GAIN, plain_hd95=(None, 4.04, 3.0), adapted_hd95=(2.0, 1.96, None))
    assert far.of_surfaces == "0 clicks - -> 2.0, 1 click 4.0 -> 2.0, 3 clicks 3.0 -> -"


def test_commands_list_go_back_and_remove(spoilt, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    folder = ["--adapters", str(spoilt.path)]
    assert cli.run(["adapters", "list", *folder]) == 0
    assert "3 in use" in capsys.readouterr().out
    assert cli.run(["adapters", "list", "liver", *folder]) == 0
    out = capsys.readouterr().out
    assert out.count("norm") == 2
    assert "0.500 -> 0.800" in out
    assert cli.run(["adapters", "use", "liver", "0", *folder]) == 0
    assert capsys.readouterr().out == "liver: no adapter in use\n"
    assert cli.run(["adapters", "use", "liver", "9", *folder]) == 1
    assert "no adapter for version 9 of liver" in capsys.readouterr().err
    assert cli.run(["adapters", "remove", "liver", "--version", "2", *folder]) == 0
    assert capsys.readouterr().out == "removed version 2 of liver\n"
    assert cli.run(["adapters", "remove", "liver", *folder]) == 0
    assert cli.run(["adapters", "remove", "liver", *folder]) == 1
    assert capsys.readouterr().err.startswith("error: There is no adapter for liver")
