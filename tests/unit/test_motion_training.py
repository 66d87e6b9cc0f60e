"""Training the motion predictor: it learns, it goes on where it was stopped, and it says honestly what it is worth."""

import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fabula.motion.checkpoint import load, save
from fabula.motion import training
from fabula.motion.files import claimed, written
from fabula.motion.predictor import Sizes
from fabula.motion.training import Log, Settings, _begin, _Run, draw, has_bf16, train

SIZES = Sizes("pooled", tokens=2, channels=6, width=32, layers=1, heads=2)
QUICK = Settings(steps=150, batch=16, rate=3e-3, warmup=10, average=0.98, held_out=0.25)


def bows(count=48, frames=7, seed=0, height=2.0):
    """Windows that go from end to end in a bow, the same way round each: what linear interpolation misses and can be learned."""
    generator = torch.Generator().manual_seed(seed)
    start, end = torch.randn(2, count, 1, 2, 6, generator=generator)
    tau = torch.linspace(0, 1, frames)[:, None, None]
    bow = torch.tensor([1.0, -1, 0, 0.5, 0, 0]) * height
    return start + tau * (end - start) + 4 * tau * (1 - tau) * bow, torch.arange(count) // 2


def test_it_learns_a_motion_and_beats_linear_on_clips_that_it_has_not_seen():
    model, log = train(*bows(), SIZES, QUICK)
    assert log.errors["predictor"] < 0.5 * log.errors["linear"] and log.beats_linear
    assert len(log.ratios) == 6 and set(log.errors) == {"predictor", "linear", "slerp", "eased", "hold"}
    assert "The predictor beats linear interpolation." in str(log) and "linear: " in str(log)
    features, _ = bows(seed=9)
    with torch.inference_mode():
        found = model(features[:, 0], features[:, -1], 13)  # another length
    assert torch.equal(found[:, 0], features[:, 0]) and torch.equal(found[:, -1], features[:, -1])


def test_the_average_has_forgotten_the_start_in_a_short_run():
    _, log = train(*bows(), SIZES, replace(QUICK, average=Settings().average))
    assert log.errors["predictor"] < 0.5 * log.errors["linear"]


def test_the_average_is_short_at_first_also_where_a_run_goes_on():
    settings, device, wanted = Settings(), torch.device("cpu"), 0.0
    run = _Run(SIZES, settings, _begin(bows()[0], torch.arange(48), SIZES, settings, None), device)
    for done in range(3):
        with torch.no_grad():
            run.model.head.bias.fill_(done + 1)
        run.average.update_parameters(run.model)
        wanted = torch.lerp(torch.tensor(done + 1.0), torch.tensor(wanted), (1 + done) / (10 + done) if done else 0.0).item()
        assert run.average.module.head.bias[0].item() == pytest.approx(wanted)
        kept = {"model": run.model.state_dict(), "average": run.average.state_dict(), "optimiser": run.optimiser.state_dict(), "losses": [1.0]}
        run = _Run(SIZES, settings, kept, device)


def test_where_there_is_nothing_to_learn_it_says_so():
    features, clips = bows(height=0.0)
    _, log = train(features, clips, SIZES, QUICK)
    assert not log.beats_linear and "does NOT beat" in str(log)


@pytest.mark.parametrize("count", [5, 8, 20])
def test_chance_wins_one_time_in_twenty(count):
    """A predictor that is as good as linear, on so many held-out clips."""
    generator = torch.Generator().manual_seed(0)
    wins = sum(Log(ratios=torch.randn(count, generator=generator).mul(0.1).exp().tolist()).beats_linear for _ in range(4000))
    assert 0.04 < wins / 4000 < 0.06


def test_few_clips_show_neither():
    few = Log(ratios=[0.5] * 4)
    assert not few.beats_linear and few.too_few and "error on 4 held-out clips" in str(few) and "too few clips to show whether the predictor beats linear interpolation" in str(few)
    for ratios, words in (([0.8, 0.85, 0.9, 0.8, 0.9], "The predictor beats linear"), ([0.5, 1.4, 0.9, 1.2, 0.8], "The predictor does NOT beat linear")):
        assert words in str(Log(ratios=ratios)) and not Log(ratios=ratios).too_few


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    settings = Settings(steps=12, batch=4, rate=1e-3, warmup=2)
    whole, log = train(*bows(), SIZES, settings)

    class Interrupt(Exception):
        pass

    def stop(step, loss):
        if step == 5:
            raise Interrupt

    with pytest.raises(Interrupt):
        train(*bows(), SIZES, settings, tmp_path / "run.pt", on_step=stop)
    seen = []
    again, second = train(*bows(), SIZES, settings, tmp_path / "run.pt", on_step=lambda step, loss: seen.append(step))
    assert seen == list(range(6, 13)) and second.losses == pytest.approx(log.losses, rel=1e-4)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-5), name
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@contextmanager
def full_disk(size):
    """No file can become larger than `size`: as on a full disk, with the system's own errors."""
    resource = pytest.importorskip("resource", reason="this system has no limit for files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_what_was_kept_before(tmp_path):
    settings = Settings(steps=210, batch=4, rate=1e-3, warmup=2)
    whole, _ = train(*bows(), SIZES, settings)
    kept = tmp_path / "run.pt"

    def stop(step, loss):
        if step == 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*bows(), SIZES, settings, kept, stop)
    before, seen = kept.read_bytes(), []
    with full_disk(20_000), pytest.raises(OSError, match="run.pt cannot be written .File too large.. Make room on its disk"):
        train(*bows(), SIZES, settings, kept, lambda step, loss: seen.append(step))
    assert seen[-1] == 199 and kept.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    again, log = train(*bows(), SIZES, settings, kept)
    assert len(log.losses) == 210
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-5), name


def test_a_full_disk_leaves_the_predictor_of_before(tmp_path):
    model, _ = train(*bows(), SIZES, Settings(steps=1))
    save(model, tmp_path / "walk.safetensors", {"steps": "1"})
    before = (tmp_path / "walk.safetensors").read_bytes()
    with full_disk(20_000), pytest.raises(OSError, match="walk.safetensors cannot be written .*File too large"):
        save(model, tmp_path / "walk.safetensors", {"steps": "2"})
    assert (tmp_path / "walk.safetensors").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    load(tmp_path / "walk.safetensors")


def test_a_torn_checkpoint_is_named(tmp_path):
    (tmp_path / "run.pt").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="run.pt, where the interrupted training was kept, cannot be read .*Delete it to begin anew"):
        train(*bows(), SIZES, QUICK, tmp_path / "run.pt")
    assert (tmp_path / "run.pt").read_bytes() == b"half of it"


def test_a_loss_that_is_not_finite_ends_the_run():
    seen = []
    with pytest.raises(ValueError, match="the loss of step . is not finite. Choose a lower learning rate"):
        train(*bows(), SIZES, Settings(steps=9, batch=4, rate=1e30, warmup=1), on_step=lambda step, loss: seen.append(loss))
    assert seen and all(math.isfinite(loss) for loss in seen)


def test_nothing_global_is_drawn_from():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(*bows(12), SIZES, Settings(steps=2, batch=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_half_of_the_windows_run_backwards():
    windows = torch.arange(5.0)[None, :, None, None].expand(3, 5, 1, 1)
    found = draw(windows, Settings(batch=400), torch.Generator().manual_seed(0))[:, :, 0, 0]
    backwards = (found[:, 0] == 4).float().mean()
    assert 0.4 < backwards < 0.6 and ((found[:, 0] == 0) | (found[:, 0] == 4)).all()


def test_bf16_learns_as_well():
    _, log = train(*bows(), SIZES, Settings(**{**QUICK.__dict__, "bf16": True}))
    assert log.beats_linear and all(math.isfinite(loss) for loss in log.losses)


def test_half_precision_features_are_judged_as_they_are():
    features, clips = bows()
    assert train(features.half(), clips, SIZES, QUICK)[1].errors["linear"] == pytest.approx(train(features, clips, SIZES, QUICK)[1].errors["linear"], rel=1e-2)


def test_bf16_is_refused_where_the_device_has_none():
    assert has_bf16("cpu") and not has_bf16("meta")
    with pytest.raises(ValueError, match="bf16 is on, but the device .meta. has no bf16. Turn it off"):
        train(*bows(), SIZES, Settings(bf16=True), device="meta")


@pytest.mark.parametrize(("features", "clips", "words"), [
    (torch.rand(4, 5, 3, 6), torch.arange(4), r"must be \(windows, frames, 2, 6\)"), (torch.rand(4, 2, 2, 6), torch.arange(4), "nothing between their ends"),
    (torch.rand(4, 5, 2, 6), torch.zeros(4, dtype=torch.int64), "all windows are of one clip"), (torch.rand(4, 5, 2, 6), torch.arange(3), "clips for 3"),
    (torch.full((4, 5, 2, 6), torch.nan), torch.arange(4), "not finite"),
])
def test_what_cannot_be_trained_on_is_named(features, clips, words):
    with pytest.raises(ValueError, match=words):
        train(features, clips, SIZES, QUICK)


def test_windows_are_seen_forwards_alone_and_at_several_lengths():
    windows = torch.arange(13.0).expand(6, 13)[:, :, None, None]
    settings = Settings(batch=8, backwards=0.0, strides=(1, 4))
    found = [draw(windows, settings, torch.Generator().manual_seed(seed))[:, :, 0, 0] for seed in range(20)]
    assert {each.shape[1] for each in found} == {4, 13}
    assert all(torch.equal(each[0], windows[0, ::12 // (each.shape[1] - 1), 0, 0]) for each in found)


@pytest.mark.parametrize("stride", [0, 5, 12])
def test_strides_that_miss_an_end_or_all_between_are_refused(stride):
    with pytest.raises(ValueError, match=f"strides \\[{stride}\\] do not fit windows of 13 frames"):
        train(torch.randn(4, 13, 1, 2), torch.arange(4), Sizes("pooled", 1, 2, 8, 1, 2), Settings(steps=1, strides=(stride,)))


def test_a_full_card_is_not_told_as_a_full_disk(tmp_path):
    with pytest.raises(torch.cuda.OutOfMemoryError), written(tmp_path / "state"):
        raise torch.cuda.OutOfMemoryError("of a card")
    assert not list(tmp_path.iterdir())


def test_two_who_want_the_same_name_at_once_get_two(tmp_path):
    names = [tmp_path / name for name in ("a", "b", "c")]
    (tmp_path / "a").write_text("somebody's")
    with claimed(names) as first, claimed(names) as second:
        assert (first, second) == (names[1], names[2])
        for path in (first, second):
            with written(path) as part:
                part.write_text("mine")
    assert [path.read_text() for path in names] == ["somebody's", "mine", "mine"] and len(list(tmp_path.iterdir())) == 3


def test_a_name_is_given_back_where_nothing_was_written(tmp_path):
    for content, left in ((b"", []), (b"whole", ["a"])):
        with pytest.raises(KeyboardInterrupt), claimed([tmp_path / "a"]) as path:
            path.write_bytes(content)
            raise KeyboardInterrupt
        assert [file.name for file in tmp_path.iterdir()] == left
    with pytest.raises(OSError, match="b cannot be written .*Make room on its disk"), claimed([tmp_path / "a" / "b"]):
        pass


class Largest(TorchDispatchMode):
    """How many bytes the largest tensor has that is made meanwhile."""

    def __init__(self):
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)}
        found = func(*args, **(kwargs or {}))
        made = [each.untyped_storage() for each in tree_leaves(found) if isinstance(each, torch.Tensor)]
        self.size = max([self.size, *(each.nbytes() for each in made if each.data_ptr() not in known)])
        return found


def test_features_that_fill_half_of_the_memory_are_not_copied(monkeypatch):
    features, clips = bows(2560, 9)
    wanted = train(features, clips, SIZES, Settings(steps=1, batch=2))[0]
    monkeypatch.setattr(training, "_AT_ONCE", 1000)
    with Largest() as largest:
        found = train(features, clips, SIZES, Settings(steps=1, batch=2))[0]
    assert 0 < largest.size < features.untyped_storage().nbytes() / 4
    assert torch.allclose(found.mean, wanted.mean, rtol=0, atol=1e-6) and torch.allclose(found.std, wanted.std, rtol=0, atol=1e-6)


def test_mean_and_deviation_are_those_of_the_windows_that_count(monkeypatch):
    monkeypatch.setattr(training, "_AT_ONCE", 50)  # less than a window
    windows = torch.randn(7, 5, 3, 6).half() * 3 + 1
    among = torch.tensor([0, 2, 5])
    mean, std = training._statistics(windows, among)
    counted = windows[among].double().flatten(0, 2)
    assert torch.allclose(mean, counted.mean(0).float(), atol=1e-6) and torch.allclose(std, counted.std(0).float(), atol=1e-6)
