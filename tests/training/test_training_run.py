"""What every training run does: samples in order, steps, averages, checkpoints, several ranks."""

import json
import time
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
from feature_model import FeatureModel
from rich.console import Console
from torch import nn

from napari_fastsam3d.cli.train import task_of, training_bar, usual_workers
from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.evaluation.dataset import labelled_cases
from napari_fastsam3d.training.batches import batches
from napari_fastsam3d.training.ranks import Ranks
from napari_fastsam3d.training.reader_examples import prepare_painted, several
from napari_fastsam3d.training.recipe import Phase, Recipe, learning_rate
from napari_fastsam3d.training.run import TrainingRun, _parameter_groups
from napari_fastsam3d.training.sample import Sampler

SIZE = 16
LONG = Recipe(
    {"shapes": 1.0},
    (Phase(steps=3, crop=SIZE, batch=2), Phase(steps=2, crop=SIZE, batch=1, targets=2)),
    seed=7,
    warmup=2,
    ema=0.6,
    clip=0.5,
)
SAMPLER = Sampler(LONG.sources and (("shapes", 1.0),), {}, LONG.seed)


class Run(TrainingRun[nn.Module]):
    """The smallest run: a convolution is to give the mask."""

    spoilt_at = None

    def __init__(self, folder, recipe=LONG, **given) -> None:
        super().__init__(recipe, SAMPLER, folder, workers=0, **given)
        self._begin(lambda: self._network_at(0))

    def _network_at(self, step):
        return nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Conv3d(2, 1, 1))

    def _success(self, entry):
        return -entry["loss"]

    def _train_step(self, phase, images, targets, clicks):
        given = self.network(images)
        loss = (given - targets[:, :1].float()).square().mean()
        if self.step == self.spoilt_at:
            loss = loss * torch.nan
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        rate = learning_rate(self.recipe, self.step)
        norm = self._descend(loss.detach(), rate, phase.ema or self.recipe.ema)
        return {"step": self.step, "loss": loss.item(), "norm": norm, "rate": rate}

    def export(self):
        path = self.folder / "weights.safetensors"
        path.write_text(str(self.step))
        return path


def silent(step, steps, value):
    pass


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def drawn(step=0, ranks=None, recipe=LONG):
    return list(batches(recipe, SAMPLER, step, ranks or Ranks(), workers=0))


def test_batches_go_on_at_any_step_as_they_would_have_come():
    whole = drawn()
    assert [phase.batch for phase, *_ in whole] == [2, 2, 2, 1, 1]
    assert [tuple(targets.shape[:2]) for _, _, targets, _ in whole] == [(2, 1)] * 3 + [(1, 2)] * 2
    for step in range(6):
        rest = drawn(step)
        assert len(rest) == max(0, 5 - step)
        for one, other in zip(rest, whole[step:], strict=True):
            assert one[0] == other[0]
            assert all(torch.equal(a, b) for a, b in zip(one[1:3], other[1:3], strict=True))


def test_a_batch_is_of_the_samples_of_its_numbers():
    first = [images for _, images, _, _ in drawn()]
    numbers = [[0, 1], [2, 3], [4, 5], [6], [7]]
    for images, those in zip(first, numbers, strict=True):
        for image, number in zip(images, those, strict=True):
            choice = LONG.phases[number > 5]
            assert torch.equal(image[0], SAMPLER.draw(number, SIZE, choice).image)


def test_two_ranks_draw_together_what_one_would_of_twice_the_batch():
    twice = replace(LONG, phases=tuple(replace(p, batch=2 * p.batch) for p in LONG.phases))
    alone = drawn(recipe=twice)
    parts = [drawn(ranks=Ranks(rank, 2)) for rank in (0, 1)]
    for whole, one, other in zip(alone, *parts, strict=True):
        assert torch.equal(whole[1], torch.cat([one[1], other[1]]))
        assert torch.equal(whole[2], torch.cat([one[2], other[2]]))


def test_the_average_follows_the_weights_and_more_slowly_as_they_settle(tmp_path):
    run = Run(tmp_path)
    mean, told = weights(run.average), []

    def follow(step, steps, value):
        decay = min(LONG.ema, step / (9 + step))
        new = weights(run.network)
        for name in mean:
            mean[name] = decay * mean[name].double() + (1 - decay) * new[name].double()
            got = run.average.state_dict()[name].double()
            torch.testing.assert_close(got, mean[name], rtol=1e-5, atol=1e-7)
        told.append((step, steps))

    run.run(follow)
    assert told == [(n, 5) for n in range(1, 6)]


def test_rates_are_those_of_the_recipe_and_gradients_are_clipped(tmp_path):
    run = Run(tmp_path)
    seen = []

    def look(step, steps, value):
        seen.append({group["lr"] for group in run.optimizer.param_groups})
        left = torch.cat([p.grad.flatten() for p in run.network.parameters()]).norm()
        assert left <= LONG.clip * 1.001

    run.run(look)
    assert seen == [{learning_rate(LONG, step)} for step in range(5)]
    assert all(entry["seconds"] >= 0 and entry["norm"] > 0 for entry in entries(tmp_path))


def test_kernels_decay_and_norms_biases_and_tokens_do_not():
    network = nn.ModuleDict(
        {"conv": nn.Conv3d(1, 2, 3), "norm": nn.LayerNorm(4), "token": nn.Embedding(3, 4)}
    )
    decayed, kept = _parameter_groups(network, 0.3)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.3, 0.0)
    assert [p.shape for p in decayed["params"]] == [network["conv"].weight.shape]
    both = [*decayed["params"], *kept["params"]]
    assert {id(p) for p in both} == {id(p) for p in network.parameters()}
    assert len(both) == len(list(network.parameters()))


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_weights(tmp_path):
    run = Run(tmp_path)
    run.spoilt_at = 2
    with pytest.raises(TrainingError, match=r"not finite at step 2\. Lower the learning rate"):
        run.run(silent, save_every=1)
    assert all(torch.isfinite(value).all() for value in run.network.state_dict().values())
    again = Run(tmp_path)
    assert again.step == 2
    again.run(silent)
    assert [entry["step"] for entry in entries(tmp_path)] == list(range(5))


def test_a_run_out_of_time_has_made_a_step_and_kept_it(tmp_path):
    run = Run(tmp_path)
    run.run(silent, until=time.monotonic() - 1)
    assert run.step == 1
    assert Run(tmp_path).step == 1


@pytest.mark.parametrize(("every", "kept"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (50, [5])])
def test_checkpoints_are_written_now_and_then_and_at_the_end(tmp_path, monkeypatch, every, kept):
    run, saved = Run(tmp_path), []
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda s, p: (saved.append(s["step"]), save(s, p)))
    run.run(silent, save_every=every)
    assert saved == kept
    assert (tmp_path / "weights.safetensors").read_text() == "5"


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    run = Run(tmp_path)
    run.run(silent, until=time.monotonic() - 1)
    kept = weights(run.network)

    def tear(state, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", tear)
        with pytest.raises(OSError, match="No space"):
            run.run(silent, save_every=1)
    again = Run(tmp_path)
    assert again.step == 1
    assert all(torch.equal(value, kept[name]) for name, value in weights(again.network).items())
    again.run(silent)
    whole = Run(tmp_path / "whole")
    whole.run(silent)
    for name, value in weights(whole.average).items():
        assert torch.equal(value, again.average.state_dict()[name])


def test_only_the_first_rank_writes(tmp_path, monkeypatch):
    second = Ranks(1, 2)
    monkeypatch.setattr(Ranks, "average", lambda self, tensors: list(tensors))
    monkeypatch.setattr(Ranks, "agree", lambda self, wish: wish)
    run = Run(tmp_path, ranks=second)
    run.run(silent)
    assert run.step == 5
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(TrainingError, match="cannot be made"):
            Run(folder)


def test_seeds_begin_with_their_own_weights(tmp_path):
    one, same = Run(tmp_path / "one"), Run(tmp_path / "same")
    other = Run(tmp_path / "other", replace(LONG, seed=8))
    pairs = [(weights(one.network), weights(each.network)) for each in (same, other)]
    assert [all(torch.equal(a[n], b[n]) for n in a) for a, b in pairs] == [True, False]


def test_a_bar_shows_every_task_with_and_without_a_value():
    out = StringIO()
    bar = training_bar(True, "Dice")
    looking, training = task_of(bar, "looking"), task_of(bar, "training")
    looking(3, 12)
    training(1, 4, 0.25)
    assert [task.percentage for task in bar.tasks] == [25, 25]
    Console(file=out, width=100).print(bar)
    assert "3/12" in out.getvalue()
    assert "Dice 0.250" in out.getvalue()


def test_a_gpu_is_fed_by_several_processes_and_a_cpu_by_one(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert [usual_workers("cpu", 1), usual_workers("cuda", 1), usual_workers("cuda:1", 4)] == [
        1,
        4,
        1,
    ]
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usual_workers("cuda", 1) == 1


def test_a_folder_without_label_maps_has_nothing_to_paint(tmp_path):
    told = []
    prepare_painted(tmp_path, tmp_path / "cases", FeatureModel(), lambda *at: told.append(at))
    assert told == []
    assert not (tmp_path / "cases").exists()


def test_a_structure_is_remembered_from_others_where_there_are_enough(data):
    cases = labelled_cases(data, "train")
    assert several(cases, least=2) == cases
    assert several(cases, least=3) == []
    assert several([*cases, replace(cases[0], set_name="alone")], least=2) == cases


def test_samples_of_a_number_are_the_same_in_any_order():
    ahead = [SAMPLER.draw(number, SIZE).image for number in range(4)]
    back = [SAMPLER.draw(number, SIZE).image for number in reversed(range(4))]
    assert all(torch.equal(a, b) for a, b in zip(ahead, reversed(back), strict=True))
    assert len({np.asarray(image).tobytes() for image in ahead}) == 4
