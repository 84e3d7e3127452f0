"""`@zerokit.gpu` off ZeroGPU: what a decorated function takes, gives and raises."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
import time
from datetime import timedelta

import gradio as gr
import numpy as np
import pytest
from gradio.helpers import special_args

import zerokit
from zerokit.calls import Beat, GPUFunction, Linear, Outcome, Quote
from zerokit.calls.duration import Declared, Estimator, Fixed, Learned
from zerokit.errors import BadResult, FunctionFailed, OutOfMemory, RequestError, UsageError


def test_a_plain_function_gives_its_result():
    @zerokit.gpu
    def add(a: int, b: int = 1) -> int:
        return a + b

    assert isinstance(add, GPUFunction)
    assert (add(1), add(1, b=5), add(a=2)) == (2, 6, 3)
    assert (add.__name__, list(inspect.signature(add).parameters)) == ("add", ["a", "b"])
    assert add.quote(1) == Quote()  # nothing is reserved here


def test_none_is_a_result():
    assert zerokit.gpu(lambda: None)() is None


def test_a_generator_gives_its_last_value():
    @zerokit.gpu
    def count(n):
        yield from range(n)

    assert count(5) == 4
    assert count(0) is None


def test_a_function_that_returns_a_generator_is_a_generator():
    assert zerokit.gpu(lambda n: (i for i in range(n)))(3) == 2


def test_a_stream_gives_values_as_they_come_and_the_last_one_once():
    gates = [threading.Event() for _ in range(3)]

    @zerokit.gpu(stream=True)
    def count():
        for number, gate in enumerate(gates):
            assert gate.wait(20)
            yield number

    seen = []
    gates[0].set()
    for value in count():
        seen.append(value)
        if value < 2:
            gates[value + 1].set()
    assert seen == [0, 1, 2]


def test_one_list_that_grows_is_shown_each_time():
    gates = [threading.Event() for _ in range(3)]

    @zerokit.gpu(stream=True)
    def write():
        words = []
        for number, gate in enumerate(gates):
            assert gate.wait(20)
            words.append(number)
            yield words

    seen = []
    gates[0].set()
    for value in write():
        seen.append(value)
        if len(value) < 3:
            gates[len(value)].set()
    assert seen == [[0], [0, 1], [0, 1, 2]]


def test_coroutines_are_refused_with_what_to_write():
    async def wait(): ...

    async def count():
        yield 1

    for function in (wait, count):
        with pytest.raises(UsageError, match="write `def`, not `async def`"):
            zerokit.gpu(function)


def test_a_coroutine_that_shows_only_when_called_is_refused():
    class Later:
        async def __call__(self) -> int:
            return 1

    outcome = last(zerokit.gpu(Later()).beats())
    assert isinstance(outcome.failure, UsageError)


def test_stream_needs_a_generator():
    with pytest.raises(UsageError, match="yields none"):
        zerokit.gpu(stream=True)(lambda: 1)


@pytest.mark.parametrize("size", ["Large", "huge", 3, "", ["large"], True])
def test_a_wrong_size_is_named(size):
    with pytest.raises(UsageError, match="There is no size"):
        zerokit.gpu(size=size)(lambda: 1)


def test_a_near_size_is_suggested():
    with pytest.raises(UsageError, match="Did you mean 'xlarge'"):
        zerokit.gpu(size="xlarg")(lambda: 1)


@pytest.mark.parametrize(
    "duration",
    [
        -1,
        float("nan"),
        float("inf"),
        "60",
        True,
        [1],
        timedelta(seconds=-1),
        Linear,
        object(),
        pytest.param(10**400, id="huge"),
    ],
)
def test_a_wrong_duration_is_refused_when_decorating(duration):
    with pytest.raises(UsageError, match="duration"):
        zerokit.gpu(duration=duration)(lambda: 1)


def test_only_functions_are_decorated():
    with pytest.raises(UsageError, match=r"duration=60"):
        zerokit.gpu(60)


@pytest.mark.parametrize(
    ("duration", "kind"),
    [
        (10, Fixed),
        (2.5, Fixed),
        (np.int64(3), Fixed),
        (timedelta(minutes=1), Fixed),
        (None, Learned),
        (lambda x: x, Declared),
        (Linear(2), Linear),
    ],
)
def test_durations_that_are_taken(duration, kind):
    function = zerokit.gpu(duration=duration)(lambda x: x)
    assert type(function.estimator) is kind
    assert function(4) == 4


def test_a_duration_callable_that_fits_no_call_is_refused_when_decorating():
    with pytest.raises(UsageError, match="the function's own arguments"):
        zerokit.gpu(duration=lambda a, b, c: 1)(lambda a: a)
    with pytest.raises(UsageError, match="the function's own arguments"):
        zerokit.gpu(duration=lambda: 1)(lambda a: a)
    zerokit.gpu(duration=lambda a, b=1: 1)(lambda a: a)
    zerokit.gpu(duration=lambda a: 1)(lambda a, b=1: a)  # fits the calls that leave b out
    zerokit.gpu(duration=lambda *args, **kwargs: 1)(lambda a, *, b: a)


def test_partials_and_objects_are_functions_too():
    class Adder:
        def __call__(self, a):
            return a + 10

    assert zerokit.gpu(functools.partial(lambda a, b: a * b, 3))(4) == 12
    assert zerokit.gpu(Adder())(1) == 11


def test_methods_get_their_object():
    class Scaler:
        def __init__(self, by):
            self.by = by

        @zerokit.gpu
        def scale(self, x):
            return self.by * x

    scaler = Scaler(3)
    assert scaler.scale(2) == 6
    assert list(inspect.signature(scaler.scale).parameters) == ["x"]
    assert last(Scaler(5).scale.within(100).beats(2)).value == 10


def test_two_functions_of_one_name_are_two():
    def make(by):
        @zerokit.gpu
        def scale(x):
            return by * x

        return scale

    two, three = make(2), make(3)
    assert (two(1), three(1)) == (2, 3)


def test_a_nested_call_runs_where_it_is():
    threads = []

    @zerokit.gpu
    def inner(x):
        threads.append(threading.current_thread().name)
        yield x
        yield x + 1

    @zerokit.gpu
    def outer(x):
        threads.append(threading.current_thread().name)
        return inner(x) * 2

    assert outer(1) == 4
    assert threads == ["zerokit-call"] * 2


def test_twenty_calls_at_once_do_not_mix():
    @zerokit.gpu
    def echo(x):
        zerokit.progress(made=-x)
        time.sleep(0.01)
        return x

    results = {}

    def call(x):
        results[x] = echo(x)

    threads = [threading.Thread(target=call, args=(x,)) for x in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {x: x for x in range(20)}


def test_beats_carry_progress_and_what_was_made():
    gate = threading.Event()

    @zerokit.gpu
    def paint():
        zerokit.progress(3, 4, "Painting", made="a sketch")
        assert gate.wait(20)
        return "a picture"

    beats = []
    for beat in paint.beats():
        beats.append(beat)
        if isinstance(beat, Beat) and beat.made:
            gate.set()
    sketch = next(beat for beat in beats if isinstance(beat, Beat) and beat.made)
    assert (beats[0].phase, sketch.phase, sketch.made) == ("waiting", "running", "a sketch")
    assert (sketch.progress.fraction, sketch.progress.text, sketch.left_s) == (0.75, "Painting", None)
    assert isinstance(beats[-1], Outcome)
    assert (beats[-1].value, beats[-1].ended, beats[-1].usage.ran) == ("a picture", "complete", True)
    assert beats[-1].usage.declared_s is None


def test_progress_outside_a_call_does_nothing():
    zerokit.progress(1, 2, "three")


def test_a_wrong_progress_is_the_functions_own_mistake():
    @zerokit.gpu
    def paint():
        zerokit.progress("half")

    assert isinstance(last(paint.beats()).failure, FunctionFailed)


def test_an_exception_tells_the_visitor_nothing_of_the_inside(caplog):
    @zerokit.gpu
    def fail():
        raise LookupError("/home/secret/key.txt")

    with pytest.raises(gr.Error) as caught:
        fail()
    shown = f"{caught.value.title} {caught.value.message}"
    for word in ("LookupError", "secret", "Traceback", "fail()", ".py", "worker"):
        assert word not in shown
    assert caught.value.print_exception is False
    assert "LookupError: /home/secret/key.txt" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(1), GeneratorExit()])
def test_whatever_is_raised_ends_the_call_and_not_the_program(error):
    def fail():
        raise error

    assert isinstance(last(zerokit.gpu(fail).beats()).failure, FunctionFailed)


def test_an_exception_that_breaks_when_it_is_read_is_still_only_a_failure():
    class Broken(RuntimeError):
        def __str__(self):
            raise ValueError("no")

    def fail():
        raise Broken

    assert isinstance(last(zerokit.gpu(fail).beats()).failure, FunctionFailed)


def test_the_authors_own_error_is_kept():
    @zerokit.gpu
    def fail():
        zerokit.progress(made="half of it")
        raise gr.Error("Too <b>dark</b>", title="Look", duration=None, print_exception=False)

    with pytest.raises(gr.Error) as caught:
        fail()
    error = caught.value
    assert (error.message, error.title, error.duration) == ("Too <b>dark</b>", "Look", None)


def test_our_errors_and_classes_made_from_them_keep_their_words():
    class TooBlue(RequestError):
        title = "Too blue"

    @zerokit.gpu
    def fail(kind):
        raise kind("It is 5 times too blue.")

    for kind in (RequestError, TooBlue):
        failure = last(fail.beats(kind)).failure
        assert type(failure) is RequestError
        assert failure.message == "It is 5 times too blue."


def test_messages_are_text_and_not_html():
    @zerokit.gpu
    def fail():
        raise RequestError("<img src=x onerror=alert(1)> & more")

    with pytest.raises(gr.Error) as caught:
        fail()
    assert caught.value.message == "&lt;img src=x onerror=alert(1)&gt; &amp; more Nothing was charged."


def test_out_of_memory_says_the_numbers_and_no_more():
    class OutOfMemoryError(RuntimeError):
        """Named as torch's, which cannot be had without a card."""

    @zerokit.gpu
    def fail():
        raise OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 47.38 GiB of which 3.1 GiB"
            " is free. Process 4711 has 44.2 GiB memory in use."
        )

    failure = last(fail.beats()).failure
    assert type(failure) is OutOfMemory
    assert failure.message == "It needed 20.00 GiB more memory than the GPU has free (it has 47.38 GiB in all)."


def test_the_computers_own_memory_is_not_called_the_gpus():
    def fail():
        raise MemoryError

    assert last(zerokit.gpu(fail).beats()).failure.message == "The computer's memory ran out."


@pytest.mark.parametrize("result", [lambda: 1, threading.Lock(), open], ids=["lambda", "lock", "fine"])
def test_what_cannot_be_brought_back_is_said(result):
    outcome = last(zerokit.gpu(lambda: result).beats())
    if result is open:
        assert outcome.value is open
    else:
        assert type(outcome.failure) is BadResult


class Unreadable:
    """Pickles, and cannot be read back."""

    def __init__(self, *, size):
        self.size = size

    def __reduce__(self):
        return Unreadable, ()


def test_what_cannot_be_read_back_is_a_failure_with_what_was_made_before():
    @zerokit.gpu
    def make():
        zerokit.progress(made="a sketch")
        time.sleep(0.5)
        return Unreadable(size=1)

    outcome = last(make.beats())
    assert type(outcome.failure) is BadResult
    assert (outcome.value, outcome.ended) == ("a sketch", "interrupted")


def test_what_was_made_before_a_failure_is_the_answer(caplog):
    @zerokit.gpu
    def write():
        yield "Once upon a"
        time.sleep(0.5)
        raise ValueError("no more ideas")

    with caplog.at_level(logging.WARNING):
        assert write() == "Once upon a"
    assert "This is what was made until then." in caplog.text


class Noted(Estimator):
    """Remembers what it was told, and can fail."""

    def __init__(self, error=None):
        self.told, self.error = [], error

    def observe(self, args, kwargs, usage, value, finished):
        self.told.append((args, kwargs, usage, value, finished))
        if self.error:
            raise self.error


def test_an_estimator_learns_from_every_call():
    notes = Noted()
    function = zerokit.gpu(duration=notes)(lambda x, y: x + y)
    function(1, y=2)
    ((args, kwargs, usage, value, finished),) = notes.told
    assert (args, kwargs, value, finished) == ((1,), {"y": 2}, 3, True)
    assert usage.ran
    assert usage.used_s >= 0


def test_an_answer_is_not_lost_because_it_taught_nothing(caplog):
    notes = Noted(ZeroDivisionError("mean of nothing"))
    assert zerokit.gpu(duration=notes)(lambda: "the answer")() == "the answer"
    assert len(notes.told) == 1
    assert "nothing was learned" in caplog.text


def test_it_is_a_gradio_handler_with_types_and_special_arguments():
    @zerokit.gpu
    def draw(prompt: str, request: gr.Request, progress=gr.Progress()) -> str:  # noqa: B008
        return f"{prompt} {type(request).__name__}"

    visit = gr.Request()
    inputs, progress_at, _, _ = special_args(draw, ["a cat"], visit)
    assert (inputs[:2], progress_at) == (["a cat", visit], 2)
    assert draw.within(10).__call__("a dog", None) == "a dog NoneType"


def test_in_a_page_a_stream_streams_and_a_buffered_generator_does_not():
    def count(n):
        for i in range(int(n)):
            yield i
            time.sleep(0.3)

    with gr.Blocks() as demo:
        number, shown = gr.Number(), gr.Number()
        stream = gr.Button().click(zerokit.gpu(stream=True)(count), number, shown)
        whole = gr.Button().click(zerokit.gpu(count), number, shown)
    fns = {"stream": demo.fns[stream["id"]], "whole": demo.fns[whole["id"]]}
    assert inspect.isgeneratorfunction(fns["stream"].fn)

    async def values(fn):
        seen, iterator = [], None
        while True:
            step = await demo.call_function(fn, [3], iterator=iterator)
            if not step["is_generating"] and seen:
                return seen
            seen.append(step["prediction"])
            iterator = step["iterator"]
            if iterator is None:
                return seen

    assert asyncio.run(values(fns["stream"])) == [0, 1, 2]
    assert asyncio.run(values(fns["whole"])) == [2]


def last(beats) -> Outcome:
    *_, outcome = beats
    assert isinstance(outcome, Outcome)
    return outcome
