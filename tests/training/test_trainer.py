import hashlib
import json
import time
from dataclasses import replace

import pytest
import torch

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.default.network import PyramidNetwork, grown
from napari_fastsam3d.training.recipe import LEARNING
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.trainer import Trainer


def silent(step, steps, iou):
    pass


@pytest.fixture
def trainer(data, recipe, tmp_path):
    def make(name, workers=1):
        sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
        return Trainer(recipe, sampler, tmp_path / name, workers=workers)

    return make


def state(trainer):
    return {k: v.clone() for k, v in trainer.average.state_dict().items()}


def test_a_run_that_was_stopped_ends_like_one_that_was_not(trainer):
    whole = trainer("whole")
    whole.run(silent)
    parts = trainer("parts")
    while parts.step < parts.recipe.steps:
        parts = trainer("parts")
        parts.run(silent, until=time.monotonic())
    assert parts.step == whole.step == 6
    wanted = state(whole)
    for key, value in state(parts).items():
        assert torch.equal(value, wanted[key]), key


def test_the_number_of_workers_changes_nothing(trainer):
    one, two = trainer("one"), trainer("two", workers=2)
    one.run(silent)
    two.run(silent)
    wanted = state(one)
    assert all(torch.equal(value, wanted[key]) for key, value in state(two).items())


def test_weights_move_and_the_log_grows(trainer):
    run = trainer("run")
    before = state(run)
    run.run(silent)
    after = state(run)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(6))
    assert all(len(line["iou"]) == 2 for line in lines)


@pytest.mark.parametrize("torn", ["", '{"step": 2, "lo', "{", "\x00\x00", "17", '{"iou": [1]}'])
def test_steps_after_the_last_checkpoint_are_logged_once(trainer, torn):
    run = trainer("run")
    run.run(silent, until=time.monotonic())
    with (run.folder / "log.jsonl").open("a") as file:
        file.write('{"step": 1}\n' + torn)
    again = trainer("run")
    again.run(silent)
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(6))


def test_the_exported_weights_are_a_model(trainer, rng_crop):
    run = trainer("run")
    path = run.export()
    said = path.with_suffix(".sha256").read_text().split()[0]
    assert said == hashlib.sha256(path.read_bytes()).hexdigest()
    model = load_model(path, device="cpu", dtype="float32")
    encoded = model.encode(rng_crop(64))
    assert encoded.embedding.shape == (1, 16, 4, 4, 4)


def growing(recipe):
    first, last = recipe.phases
    larger = replace(recipe.network, depth=3, blocks=(1, 2, 1))
    return replace(recipe, phases=(first, replace(last, rate=1e-3, network=larger)))


def test_a_network_grows_where_a_cycle_begins(data, recipe, tmp_path):
    recipe = growing(recipe)

    def trainer():
        sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
        return Trainer(recipe, sampler, tmp_path / "run")

    while (run := trainer()).step < recipe.steps:
        assert len(run.network.encoder.transformer) == (1 if run.step <= 4 else 3)
        run.run(silent, until=time.monotonic())
    assert run.average.config == recipe.phases[1].network


def test_only_the_features_of_boxes_learn_where_the_phase_says_so(data, recipe, tmp_path):
    first, last = recipe.phases
    reading = replace(recipe.network, box_decoder=True)
    boxes = replace(
        last, rate=1e-2, network=reading, boxes=1.0, boxed=1.0, learns="box_features", ema=0.5
    )
    recipe = replace(recipe, phases=(first, boxes))
    run = Trainer(recipe, Sampler.of_folder(data, recipe.sources, 0), tmp_path / "run")
    run.step = first.steps
    before = state(run)
    run.run(silent)
    after = state(run)
    for key, value in after.items():
        if not key.startswith("box_decoder.box_cues."):
            assert torch.equal(value, before[key.removeprefix("box_")]), key
    assert after["box_decoder.box_cues.middle.2.weight"].abs().max() > 0


def test_a_run_begins_its_last_cycle_with_weights_from_elsewhere(data, recipe, tmp_path, trainer):
    weights = trainer("first").export()
    recipe = growing(recipe)
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
    run = Trainer(recipe, sampler, tmp_path / "run", weights=weights)
    assert run.step == 4
    given, begun = state(trainer("first")), state(run)
    assert all(torch.equal(begun[key], value.half().float()) for key, value in given.items())
    run.run(silent)
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 5]
    again = Trainer(recipe, sampler, tmp_path / "run", weights=weights)
    assert again.step == recipe.steps
    assert len((run.folder / "log.jsonl").read_text().splitlines()) == 2


def test_weights_of_other_sizes_are_refused(data, recipe, tmp_path, trainer):
    weights = trainer("first").export()
    other = replace(recipe, network=replace(recipe.network, width=32))
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
    with pytest.raises(TrainingError, match="other sizes"):
        Trainer(other, sampler, tmp_path / "run", weights=weights)


def test_the_log_is_drawn(trainer):
    pytest.importorskip("matplotlib", reason="matplotlib is part of the train extra")
    run = trainer("run")
    run.run(silent)
    assert run.draw_log()
    assert (run.folder / "log.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_another_network_is_refused(trainer, recipe, data, tmp_path):
    run = trainer("run")
    run.run(silent)
    other = replace(recipe, network=replace(recipe.network, width=32))
    with pytest.raises(TrainingError, match="another network"):
        Trainer(other, Sampler.of_folder(data, recipe.sources, 3), tmp_path / "run")


def test_a_cycle_with_candidates_and_several_targets_trains_both_decoders(data, recipe, tmp_path):
    first = recipe.phases[0]
    config = replace(recipe.network, box_decoder=True, candidates=2)
    last = replace(
        first,
        steps=8,
        batch=2,
        targets=3,
        boxes=0.5,
        aimed=0.5,
        rate=1e-2,
        decay=0.0,
        network=config,
    )
    several = replace(recipe, phases=(first, last))
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
    run = Trainer(several, sampler, tmp_path / "run")
    run.run(silent)
    assert run.network.config == config
    before = Trainer(several, sampler, tmp_path / "before", weights=run.export())
    assert before.step == 4
    entries = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    proposed = [entry["best_iou"] != entry["iou"] for entry in entries[4:]]
    assert any(proposed)  # steps of clicks, where candidates are proposed
    assert not all(proposed)  # steps of boxes, where none are
    start = dict(grown(PyramidNetwork(recipe.network), config).named_parameters())
    moved = {
        name.split(".")[0]
        for name, parameter in run.network.named_parameters()
        if parameter.grad is not None or not torch.equal(parameter, start[name])
    }
    assert {"encoder", "decoder", "box_decoder"} <= moved


@pytest.mark.parametrize(
    ("learns", "sizes"),
    [
        ("coarse_decoder", {"coarse_candidates": 2}),
        ("candidates", {"candidates": 2}),
        ("first_decoder", {"first_candidates": 2}),
        ("decoder", {"candidates": 2}),
    ],
)
def test_what_learns_alone_leaves_the_rest_as_it_was(data, recipe, tmp_path, learns, sizes):
    config = replace(recipe.network, **sizes)
    last = replace(recipe.phases[0], learns=learns, boxes=0.0, rate=1e-2, network=config)
    run = Trainer(
        replace(recipe, phases=(replace(recipe.phases[0], steps=1), last)),
        Sampler.of_folder(data, recipe.sources, recipe.seed),
        tmp_path / "run",
    )
    run.run(silent, until=time.monotonic())
    before = {name: value.clone() for name, value in run.average.state_dict().items()}
    run.run(silent)
    after = run.average.state_dict()
    begins = LEARNING[learns]
    moved = [name for name in after if name not in before or not after[name].equal(before[name])]
    assert moved
    assert all(name.startswith(begins) for name in moved)
    assert any("candidates.tokens" in name for name in moved)


def test_what_judges_first_clicks_learns_alone(data, recipe, tmp_path):
    config = replace(recipe.network, coarse_candidates=1, first_candidates=2)
    phase = replace(recipe.phases[0], learns="first_judge", boxes=0.0, steps=2, clicks=1, rate=1e-2)
    run = Trainer(
        replace(recipe, phases=(phase,), network=config),
        Sampler.of_folder(data, recipe.sources, recipe.seed),
        tmp_path / "run",
    )
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    told = []
    decoder = run.network.first_decoder
    decoder.register_forward_hook(lambda _self, inputs, masks: told.append((inputs[1], masks)))
    run.run(silent)
    assert any(prompts.previous.any() for prompts, _ in told), "it sees what is seen from afar"
    assert all(masks.fed is not None for _, masks in told)
    moved = {n for n, value in run.network.state_dict().items() if not value.equal(before[n])}
    assert moved
    assert all(name.startswith("first_decoder.candidates.judge.") for name in moved)


def test_later_clicks_go_on_from_the_decoder_of_first_clicks(data, recipe, tmp_path):
    config = replace(recipe.network, coarse_candidates=1, first_candidates=1)
    phase = replace(recipe.phases[0], learns="decoder", boxes=0.0, steps=8, clicks=2)
    run = Trainer(
        replace(recipe, phases=(phase,), network=config),
        Sampler.of_folder(data, recipe.sources, recipe.seed),
        tmp_path / "run",
    )
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    answered, learnt = [], []
    run.network.first_decoder.register_forward_hook(lambda *_: answered.append(run.step))
    run.network.decoder.register_forward_hook(lambda *_: learnt.append(run.step))
    run.run(silent)
    assert len(learnt) == 16
    assert 0 < len(set(answered)) < 8, "some steps begin themselves"
    moved = {
        name for name, value in run.network.state_dict().items() if not value.equal(before[name])
    }
    assert moved
    assert all(name.startswith("decoder.") for name in moved)


def test_what_is_held_to_be_better_from_afar_is_answered_again_before_the_next_click(
    data, recipe, tmp_path
):
    config = replace(recipe.network, coarse_candidates=1, first_candidates=1)
    phase = replace(recipe.phases[0], learns="decoder", boxes=0.0, steps=6, clicks=1, batch=2)
    run = Trainer(
        replace(recipe, phases=(phase,), network=config),
        Sampler.of_folder(data, recipe.sources, recipe.seed),
        tmp_path / "run",
    )
    given, told = [], []

    def trusts_what_it_is_fed_of_the_first_sample(_, inputs, masks):
        given.append((run.step, inputs[1]))
        sure = torch.zeros_like(masks.predicted_iou)
        sure[0] = 2
        return masks._replace(fed=masks.fed._replace(predicted_iou=sure))

    run.network.first_decoder.register_forward_hook(trusts_what_it_is_fed_of_the_first_sample)
    run.network.decoder.register_forward_hook(lambda _, inputs, __: told.append(inputs[1]))
    run.run(silent)
    assert given
    for step, asked in given:
        learnt = told[step]
        assert (learnt.labels[0] >= 0).sum() == 1
        assert learnt.points[0, 0].equal(asked.points[0, 0])
        assert learnt.previous[0].equal(asked.previous[0]), "what was seen from afar is fed on"
        assert not learnt.previous[1].equal(asked.previous[1]), "its own answer is corrected"
    assert any((told[step].labels[1] >= 0).sum() > 1 for step, _ in given)


def test_the_average_is_at_hand_while_a_run_goes_on(trainer):
    run = trainer("run")
    run.run(silent, until=time.monotonic())
    assert run.step == 1
    loaded = load_model(run.folder / "weights.safetensors", device="cpu", dtype="float32")
    wanted = state(run)
    got = loaded.network.state_dict()
    assert all(torch.allclose(got[k].float(), wanted[k].float(), atol=2e-3) for k in wanted)


def test_gradients_of_clicks_add_up_to_that_of_their_mean(data, recipe, tmp_path):
    """A decoder that learns alone frees the graph of each click before the next."""
    phase = replace(recipe.phases[0], clicks=3, boxes=0.0)

    def gradients(learns):
        run = Trainer(
            replace(recipe, phases=(replace(phase, learns=learns),), clip=1e9),
            Sampler.of_folder(data, recipe.sources, recipe.seed),
            tmp_path / learns,
        )
        run.run(silent, until=time.monotonic())
        return dict(run.network.decoder.named_parameters())

    together, apart = gradients("network"), gradients("decoder")
    for name, parameter in apart.items():
        if parameter.grad is not None:
            torch.testing.assert_close(
                parameter.grad, together[name].grad, rtol=0.02, atol=1e-4, msg=name
            )
    assert any(parameter.grad is not None for parameter in apart.values())
