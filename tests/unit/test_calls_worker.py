"""The worker's side, in this process: deadlines, results on their way out, what a call carries."""

from __future__ import annotations

import gc
import pickle
import threading
import time
import weakref

import pytest
import torch

import zerokit
from zerokit.calls import lane, worker
from zerokit.calls.call import Call
from zerokit.calls.deadline import declared_for_work, margin_s
from zerokit.calls.parcel import unwrap, wrap
from zerokit.errors import BadResult, UsageError
from zerokit.quota import platform


def serve(function, *args, left_s=None, granted_s=10):
    """All signals of a call whose GPU is taken away in `left_s` seconds."""
    call = Call(zerokit.gpu(function).key, args, {})
    if left_s is not None:
        call.granted_s, call.granted_at = granted_s, time.monotonic() - granted_s + left_s
    return list(worker.work(call))


def test_signals_begin_at_once_and_end_with_the_value():
    first, *_, final = serve(lambda x: [x], 5)
    assert (first.final, first.value, first.cold) == (False, None, False)
    assert (final.final, unwrap(final.value), final.failure, final.ended) == (True, [5], None, "complete")
    assert final.started_at <= final.ended_at


def test_a_function_that_tells_its_progress_ends_at_its_deadline_with_what_it_made():
    def count():
        for number in range(1000):
            time.sleep(0.01)
            zerokit.progress(number, made=f"{number} done")

    signals = serve(count, left_s=1.3)
    assert (signals[-1].ended, signals[-1].failure.kind) == ("deadline", "DeadlineReached")
    assert unwrap([signal.made for signal in signals if signal.made][-1]).endswith("done")
    assert signals[-1].ended_at < signals[-1].started_at + 1.3


def test_a_generator_ends_at_its_deadline_with_what_it_made():
    closed = []

    def count():
        try:
            for i in range(10_000):
                yield i
                time.sleep(0.02)
        finally:
            closed.append(True)

    final = serve(count, left_s=1.3)[-1]
    assert (final.ended, final.failure, closed) == ("deadline", None, [True])
    assert unwrap(final.value) > 0
    assert final.ended_at < final.started_at + 1.3


def test_a_function_that_does_not_look_is_told_off_before_the_kill():
    release = threading.Event()

    def sleep():
        zerokit.progress(1, 2, made="half of it")
        assert release.wait(30)

    killed_at = time.monotonic() + 1.3
    try:
        signals = serve(sleep, left_s=1.3)
    finally:
        release.set()
    final = signals[-1]
    assert (final.final, final.ended, final.failure.kind) == (True, "deadline", "DeadlineReached")
    assert final.ended_at < killed_at
    assert [unwrap(s.made) for s in signals if s.made] == ["half of it"]


def test_without_a_grant_nothing_is_cut():
    assert worker._deadline(Call("f", (), {}), 5.0) == float("inf")


@pytest.mark.parametrize("granted_s", [1, 2, 3, 10, 90, 3600])
def test_the_deadline_leaves_time_to_answer(granted_s):
    call = Call("f", (), {}, granted_s=granted_s, granted_at=100.0)
    assert worker._deadline(call, 103.0) == 100.0 + granted_s - margin_s(granted_s)
    assert 0.3 <= margin_s(granted_s) <= 1.0


@pytest.mark.parametrize("size", [None, "large", "xlarge"])
@pytest.mark.parametrize("factor", [None, 1.0, 1.5])
def test_what_is_granted_covers_the_work_and_the_margin(size, factor):
    for tenths in range(0, 2000, 7):
        work_s = tenths / 10
        declared = declared_for_work(work_s, size, factor)
        granted = platform.granted_s(declared, size, factor)
        assert declared >= 1
        assert granted - margin_s(granted) >= work_s
        if declared > 1:
            less = platform.granted_s(declared - 1, size, factor)
            assert less - margin_s(less) < work_s


@pytest.fixture
def in_worker(monkeypatch):
    """As in a worker's process, whose thread for functions ends with the test."""
    monkeypatch.setattr(worker, "_main_pid", 0)
    monkeypatch.setattr(worker, "_served", False)
    monkeypatch.setattr(lane, "_lane", None)
    yield
    lane._lane.jobs.put(None)


def test_a_worker_computes_in_one_thread_in_which_every_call_finds_what_the_others_set_up(in_worker):
    """What CUDA's libraries set up, they keep with the thread: on a card a new one for each call costs seconds."""

    def fail():
        raise ValueError

    def threads():
        yield threading.get_ident()

    first, *_, one = serve(threading.get_ident)
    assert (first.cold, unwrap(one.value) != threading.get_ident()) == (True, True)
    assert serve(fail)[-1].failure is not None
    *_, other = serve(threads)
    assert (other.cold, unwrap(other.value)) == (False, unwrap(one.value))


def test_calls_in_one_thread_leave_each_other_nothing(in_worker):
    class Heavy:
        pass

    held = []

    def compute():
        torch.set_grad_enabled(False)
        zerokit.progress(1, 2)
        heavy = Heavy()
        held.append(weakref.ref(heavy))
        return torch.is_grad_enabled()

    assert unwrap(serve(compute)[-1].value) is False
    final = serve(lambda: torch.is_grad_enabled())[-1]
    assert (unwrap(final.value), final.progress.done) == (True, None)
    gc.collect()
    assert held[0]() is None


def test_a_new_process_has_a_thread_of_its_own(in_worker, monkeypatch):
    serve(lambda: 1)
    before = lane._lane
    monkeypatch.setattr(lane.os, "getpid", lambda: before.pid + 1)
    serve(lambda: 1)
    assert lane._lane is not before
    before.jobs.put(None)


def test_an_unknown_function_is_said():
    (_, final) = worker.work(Call("nobody.knows", (), {}))
    assert "Decorate functions at module level" in final.failure.message


def test_closing_a_worker_tells_the_function():
    noticed = threading.Event()

    def run():
        while True:
            yield 1
            time.sleep(0.01)

    def watched():
        try:
            yield from run()
        finally:
            noticed.set()

    signals = worker.work(Call(zerokit.gpu(watched).key, (), {}))
    next(signals)
    next(signals)
    signals.close()
    assert noticed.is_set()


def test_a_late_cuda_error_is_no_bad_result():
    class Treacherous:
        def __reduce__(self):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    class TooLarge:
        def __reduce__(self):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    assert serve(Treacherous)[-1].failure.kind == "GPUError"
    assert serve(TooLarge)[-1].failure.kind == "OutOfMemory"
    assert serve(lambda: lambda: 1)[-1].failure.kind == "BadResult"


def test_after_out_of_memory_the_frames_hold_nothing():
    import weakref

    class Tensor:
        pass

    kept = []

    def fill():
        tensor = Tensor()
        kept.append(weakref.ref(tensor))
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    serve(fill)
    assert kept[0]() is None


def test_pickling_a_call_stamps_the_moment_of_the_grant():
    call = Call("f", (1,), {"b": 2}, 10, 15)
    before = time.monotonic()
    there = pickle.loads(pickle.dumps(call))
    assert before <= call.granted_at <= time.monotonic()
    assert there == call


def test_a_packed_call_brings_its_arguments_once():
    call = Call("f", ([1], "x" * 10_000), {"b": 2})
    call.pack()
    assert call.granted_at is None  # packed before a GPU was asked for
    travelled = pickle.dumps(call)
    assert len(travelled) < 12_000
    there = pickle.loads(travelled)
    assert there.arguments() == (call.args, {"b": 2}) == call.arguments()


def test_arguments_that_cannot_travel_are_refused_before_a_gpu_is_asked_for():
    with pytest.raises(UsageError, match="cannot be sent to the GPU"):
        Call("f", (lambda: 1,), {}).pack()


class Holder:
    def __init__(self, tensor):
        self.inside = {"deep": [(tensor,)]}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(3, requires_grad=True) * 2,
        torch.nn.Parameter(torch.arange(3.0)),
        torch.arange(6).reshape(2, 3).T,
        torch.ones(2, dtype=torch.bfloat16),
        torch.tensor(1.5),
        torch.empty(0, 4),
        torch.eye(3).to_sparse(),
    ],
    ids=["grad", "parameter", "transposed", "bfloat16", "scalar", "empty", "sparse"],
)
def test_tensors_come_out_plain_from_any_depth(tensor):
    (result,) = unwrap(wrap(Holder(tensor))).inside["deep"][0]
    assert not result.requires_grad
    assert (result.dtype, result.shape, result.device.type) == (tensor.dtype, tensor.shape, "cpu")
    assert torch.equal(result.to_dense(), tensor.detach().to_dense())


def test_a_view_does_not_bring_its_whole_storage():
    huge = torch.zeros(4_000_000)
    assert len(wrap(huge[5:8])) < 10_000
    assert len(wrap(huge[::1_000_000])) < 10_000
    assert torch.equal(unwrap(wrap(huge[5:8])), huge[5:8])


def test_one_tensor_twice_is_one_tensor():
    tensor = torch.ones(2)
    one, other = unwrap(wrap([tensor, tensor]))
    assert one is other


def test_what_is_no_tensor_is_pickled_as_it_is():
    value = {"a": [1, b"2", {3}], "b": (None, 4.5)}
    assert unwrap(wrap(value)) == value


def test_too_deep_a_result_is_a_bad_result():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadResult):
        wrap(deep)
    while deep:  # or its end would overflow the stack
        (deep,) = deep
