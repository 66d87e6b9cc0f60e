"""One training divided among processes; here they are threads with the same messages. tests/host/test_train_motion.py has real ones."""

import copy
import importlib.util
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
import wheels

from fabula.motion.predictor import Sizes
from fabula.motion.training import Settings, draw, train
from fabula.motion.workers import Workers

SIZES = Sizes("pooled", tokens=2, channels=6, width=32, layers=1, heads=2)
SETTINGS = Settings(steps=12, batch=5, rate=3e-3, warmup=2)  # 5 rows: shares that differ


class Threads(Workers):
    """Of one process. `room` is theirs together."""

    class Room:
        def __init__(self, count):
            self.barrier = threading.Barrier(count, timeout=60)
            self.slots = [None] * count

    def __init__(self, rank, room):
        super().__init__(rank, len(room.slots))
        self.room = room

    def total(self, tensor):
        self.room.slots[self.rank] = tensor
        self.room.barrier.wait()
        found = sum(self.room.slots)
        self.room.barrier.wait()
        return found

    def from_main(self, make):
        if self.main:
            self.room.slots[0] = make()
        self.room.barrier.wait()
        found = copy.deepcopy(self.room.slots[0])
        self.room.barrier.wait()
        return found


def together(count, work):
    """What `work(workers)` gives in each of `count` threads."""
    room, found, wrong = Threads.Room(count), [None] * count, []

    def one(rank):
        try:
            found[rank] = work(Threads(rank, room))
        except BaseException as error:
            wrong.append(error)
            room.barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return found


def clips(count=16, frames=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, frames, 2, 6, generator=generator), torch.arange(count) // 2


@pytest.mark.parametrize(("batch", "count"), [(5, 1), (5, 2), (16, 3), (7, 7), (1024, 6)])
def test_every_row_is_one_process_s(batch, count):
    shares = [list(range(batch))[Workers(rank, count).rows(batch)] for rank in range(count)]
    assert [row for share in shares for row in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_rows_of_all_are_what_one_alone_draws():
    windows, _ = clips()
    whole = draw(windows, Settings(batch=5), torch.Generator().manual_seed(4))
    shares = [draw(windows, Settings(batch=5), torch.Generator().manual_seed(4), Workers(rank, 3).rows(5)) for rank in range(3)]
    assert torch.equal(torch.cat(shares), whole)


def test_fewer_rows_than_processes_are_named():
    with pytest.raises(ValueError, match="a batch of 2 cannot be divided among 3 processes"):
        train(*clips(), SIZES, Settings(batch=2), workers=Workers(1, 3))


@pytest.mark.parametrize("count", [2, 3])
def test_several_learn_what_one_alone_learns(count, tmp_path):
    alone, log = train(*clips(), SIZES, SETTINGS)
    found = together(count, lambda workers: train(*clips(), SIZES, SETTINGS, tmp_path / f"{workers.rank}.pt", workers=workers))
    for rank, (model, told) in enumerate(found):
        assert told.losses == pytest.approx(log.losses, rel=1e-4)
        for name, value in alone.state_dict().items():
            assert torch.allclose(value, model.state_dict()[name], atol=1e-4), name
        assert bool(told.errors) == (rank == 0)  # the main one judges
    assert found[0][1].errors["predictor"] == pytest.approx(log.errors["predictor"], rel=1e-3)
    assert [file.name for file in tmp_path.iterdir()] == ["0.pt"]  # and it alone writes


def test_two_go_on_where_one_was_stopped(tmp_path):
    _, log = train(*clips(), SIZES, SETTINGS)
    seen = []

    def stop(step, loss):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*clips(), SIZES, SETTINGS, tmp_path / "0.pt", stop)
    found = together(2, lambda workers: train(*clips(), SIZES, SETTINGS, tmp_path / f"{workers.rank}.pt", lambda step, loss: seen.append((workers.rank, step)), workers=workers))
    assert sorted(seen) == [(rank, step) for rank in (0, 1) for step in range(8, 13)]
    assert found[1][1].losses == pytest.approx(log.losses, rel=1e-4)


def test_several_processes_without_accelerate_are_refused(monkeypatch):
    import processes

    monkeypatch.setitem(sys.modules, "accelerate", None)
    for name in processes.COUNTS:
        monkeypatch.delenv(name, raising=False)
    assert processes.launched() == 1 and processes.make_workers(True).count == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="2 processes were started, but this Python has no accelerate"):
        processes.make_workers(True)


@pytest.fixture()
def tool():
    """The command's module; the signals that it takes are given back."""
    spec = importlib.util.spec_from_file_location("fabula_tool_train_motion", Path(wheels.__file__).with_name("train_motion.py"))
    module = importlib.util.module_from_spec(spec)
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    spec.loader.exec_module(module)
    yield module
    for each, handler in before.items():
        signal.signal(each, handler)


def test_ctrl_c_waits_for_the_step_and_ends_all_processes_behind_the_same(tool, tmp_path):
    stops = [tool.Stop(), tool.Stop()]  # the second one takes the signals
    for _ in range(3):  # as a launcher that hands it on
        signal.raise_signal(signal.SIGINT)
    assert [stop.asked for stop in stops] == [0, 3]
    with pytest.raises(KeyboardInterrupt):
        tool.Console(Workers(), stops[1]).check()
    reached = [0, 0]

    class AskedLater:
        """Process 1 alone, behind its fourth step."""

        def __init__(self, rank):
            self.rank = rank

        @property
        def asked(self):
            return int(self.rank == 1 and reached[1] >= 4)

    def work(workers):
        console = tool.Console(workers, AskedLater(workers.rank))

        def on_step(step, loss):
            reached[workers.rank] = step
            console.trained(step, SETTINGS.steps, loss)

        with pytest.raises(KeyboardInterrupt):
            train(*clips(), SIZES, SETTINGS, tmp_path / f"{workers.rank}.pt", on_step, workers=workers)

    together(2, work)
    assert reached == [4, 4] and len(torch.load(tmp_path / "0.pt", weights_only=True)["losses"]) == 4
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)  # the fourth is not patient
