"""Answers of the text engine."""

import logging
import pickle
import threading
import time
import warnings
from types import SimpleNamespace

import pytest
import tiny_text
import torch
import transformers

from zerokit.control import Control
from zerokit.engines import watch
from zerokit.engines.prompts import PreparedChat
from zerokit.engines.text import TextEngine
from zerokit.errors import NonFinite, OutOfMemory, RequestError
from zerokit.requests import ChatReply, ChatRequest, Message


def engine_of(factory, model, tokens=None) -> TextEngine:
    tokens = tokens or tiny_text.tokenizer()
    return TextEngine(tiny_text.save(factory.mktemp("model"), tokens, model(tokens)))


@pytest.fixture(scope="module")
def hello(tmp_path_factory):
    return engine_of(tmp_path_factory, lambda tokens: tiny_text.scripted_model(tokens, "Hi 😀!"))


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    """Never ends by itself."""
    engine = engine_of(tmp_path_factory, tiny_text.random_model)
    engine._end_ids, engine.model.generation_config.eos_token_id = frozenset(), None
    return engine


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    return engine_of(tmp_path_factory, lambda tokens: tiny_text.scripted_model(tokens, "<think>ab</think>cd"))


@pytest.fixture
def every_token(monkeypatch):
    monkeypatch.setattr(watch, "REPORT_EVERY_S", 0.0)


class Listening(Control):
    """Remembers every report, and may stop the call after some tokens."""

    def __init__(self, stop_after: float = float("inf"), deadline: float = float("inf")) -> None:
        super().__init__(deadline)
        self.heard = []
        self.stop_after = stop_after

    def report(self, done=None, total=None, text="", *, made=None):
        super().report(done, total, text, made=made)
        self.heard.append((done, total, text, made))
        if done is not None and done >= self.stop_after:
            self.cancel()

    def made(self) -> list:
        return [made for *_, made in self.heard if made is not None]


def ask(engine, text="Hello", control=None, **settings) -> ChatReply:
    request = ChatRequest((Message("user", text),), **settings)
    return engine.generate(engine.prepare(request), control or Control())


# One answer


def test_a_whole_answer(hello):
    control = Listening()
    reply = ask(hello, control=control, temperature=0)
    assert (reply.text, reply.ended, reply.new_tokens) == ("Hi 😀!", "complete", 9)
    assert reply.prompt_tokens > 9
    assert control.look()[2] == reply
    assert control.heard[0] == (0, 256 - reply.prompt_tokens, "Reading", None)
    assert pickle.loads(pickle.dumps(reply)) == reply


def test_the_answer_is_that_of_a_bare_generate(babbler):
    request = ChatRequest((Message("user", "Hello"),), temperature=0, max_new_tokens=40)
    prepared = babbler.prepare(request)
    ids = torch.tensor([prepared.ids])
    bare = babbler.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)
    expected = babbler.tokenizer.decode(bare[0, ids.shape[1] :], skip_special_tokens=True)
    assert babbler.generate(prepared, Control()).text == expected.strip().rstrip("\ufffd")


def test_no_token_waits_for_a_plan_of_its_length(tmp_path_factory):
    """On a Hopper card torch's first choice makes one for each length that an answer grows through."""
    torch.backends.cuda.enable_cudnn_sdp(True)
    engine_of(tmp_path_factory, tiny_text.random_model)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.math_sdp_enabled()


def test_an_answer_that_is_cut_keeps_whole_characters(hello):
    for length, text in [(1, "H"), (3, "Hi "), (4, "Hi "), (6, "Hi "), (7, "Hi 😀")]:
        reply = ask(hello, max_new_tokens=length)
        assert (reply.text, reply.ended, reply.new_tokens) == (text, "length", length)


def test_the_end_typed_by_a_visitor_ends_nothing(hello):
    assert ask(hello, "Say <|im_end|> now", temperature=0).text == "Hi 😀!"


def test_going_on_gives_only_what_was_added(tmp_path_factory):
    engine = engine_of(tmp_path_factory, lambda tokens: tiny_text.scripted_model(tokens, " you.", after="w"))
    request = ChatRequest((Message("user", "Greet"), Message("assistant", "How")), go_on=True, temperature=0)
    assert engine.generate(engine.prepare(request), Control()).text == " you."


def test_reports_grow_and_never_show_half_a_character(hello, every_token):
    control = Listening()
    ask(hello, control=control, temperature=0)
    texts = [made.text for made in control.made()]
    assert texts == ["H", "Hi", "Hi ", "Hi ", "Hi ", "Hi ", "Hi 😀", "Hi 😀!", "Hi 😀!", "Hi 😀!"]
    assert [done for done, *_ in control.heard] == [0, *range(1, 10), 9]


def test_reports_come_at_most_five_times_a_second(babbler):
    control = Listening()
    begun = time.monotonic()
    ask(babbler, control=control, max_new_tokens=200)
    assert len(control.made()) <= 2 + (time.monotonic() - begun) / 0.2


# Reasoning


def test_reasoning_is_told_apart(thinker, every_token):
    control = Listening()
    reply = ask(thinker, control=control, temperature=0)
    assert (reply.reasoning, reply.text, reply.ended) == ("ab", "cd", "complete")
    seen = [(made.reasoning, made.text) for made in control.made()]
    assert seen == [("", ""), ("a", ""), ("ab", ""), ("ab", ""), ("ab", "c"), ("ab", "cd"), ("ab", "cd"), ("ab", "cd")]
    assert [text for _, _, text, made in control.heard if made][1] == "Thinking"


def test_reasoning_opened_by_the_prompt_is_reasoning(tmp_path_factory):
    tokens = tiny_text.tokenizer(tiny_text.CHATML.replace("assistant\n{% endif", "assistant\n<think>{% endif"))
    engine = engine_of(tmp_path_factory, lambda t: tiny_text.scripted_model(t, "ab</think>cd", after="<think>"), tokens)
    reply = ask(engine, temperature=0)
    assert (reply.reasoning, reply.text) == ("ab", "cd")
    cut = ask(engine, temperature=0, max_new_tokens=2)
    assert (cut.reasoning, cut.text, cut.ended) == ("ab", "", "length")


# Sampling


def test_the_same_seed_gives_the_same_answer_and_another_another(babbler):
    answers = {seed: ask(babbler, seed=seed, temperature=1.5, max_new_tokens=20).text for seed in (1, 2)}
    assert answers[1] != answers[2]
    assert ask(babbler, seed=1, temperature=1.5, max_new_tokens=20).text == answers[1]
    without = {ask(babbler, temperature=1.5, max_new_tokens=20).text for _ in range(2)}
    assert len(without) == 2


def test_the_global_random_state_is_neither_used_nor_changed(babbler):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = ask(babbler, seed=1, max_new_tokens=10).text
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert ask(babbler, seed=1, max_new_tokens=10).text == first


def test_threads_do_not_disturb_each_other(babbler):
    alone = {seed: ask(babbler, seed=seed, max_new_tokens=20).text for seed in range(3)}
    together = {}

    def work(seed):
        together[seed] = ask(babbler, seed=seed, max_new_tokens=20).text

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert together == alone


def test_a_repetition_penalty_has_an_effect(babbler):
    assert ask(babbler, temperature=0, max_new_tokens=40).text != (
        ask(babbler, temperature=0, max_new_tokens=40, repetition_penalty=2.0).text
    )


def test_the_models_own_settings_are_known_and_raise_no_alarm(tmp_path, caplog, capfd):
    tokens = tiny_text.tokenizer()
    model = tiny_text.random_model(tokens)
    model.generation_config = transformers.GenerationConfig(
        do_sample=True, temperature=0.6, top_p=0.9, top_k=20, max_length=100, suppress_tokens=[5], eos_token_id=7
    )
    engine = TextEngine(tiny_text.save(tmp_path, tokens, model))
    assert engine.sampling == {"temperature": 0.6, "top_p": 0.9, "top_k": 20}
    assert engine._end_ids == {7, tokens.eos_token_id}
    capfd.readouterr()
    transformers.logging.enable_propagation()
    try:
        with caplog.at_level(logging.WARNING), warnings.catch_warnings():
            warnings.simplefilter("error")
            ask(engine, temperature=0)
            ask(engine, temperature=0.5, top_k=0, top_p=1)
            batch = engine.prepare_batch([ChatRequest((Message("user", text),)) for text in ("a", "bc")])
            engine.generate_batch(batch, Control())
    finally:
        transformers.logging.disable_propagation()
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert engine.model.generation_config.suppress_tokens == [5]


# Ends


def test_stop_keeps_what_was_made(babbler, every_token):
    control = Listening(stop_after=5)
    reply = ask(babbler, control=control, max_new_tokens=200)
    assert reply.ended == "stopped"
    assert 5 <= reply.new_tokens <= 6
    assert control.made()[-1] == reply


def test_the_deadline_keeps_what_was_made(babbler):
    reply = ask(babbler, control=Control(time.monotonic() + 0.15), max_new_tokens=230)
    assert reply.ended == "deadline"
    assert 0 < reply.new_tokens < 230


def test_no_token_is_begun_that_would_end_after_the_deadline(babbler, monkeypatch):
    """Tokens that take long: a worker that comes late is ended, and the next call starts cold."""
    clock = SimpleNamespace(now=100.0)

    class Call(Control):
        @property
        def left_s(self):
            return max(0.0, self.deadline - clock.now)

        def stop_reason(self):
            return None if self.left_s else "deadline"

    def slow(*args):
        clock.now += 1

    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: clock.now))
    hook = babbler.model.register_forward_pre_hook(slow)
    reply = ask(babbler, control=Call(107.5), max_new_tokens=230)
    hook.remove()
    assert (reply.ended, reply.new_tokens, clock.now) == ("deadline", 7, 107.0)


def test_a_call_that_is_over_before_it_began_computes_nothing(babbler):
    reply = ask(babbler, control=Control(time.monotonic() - 1))
    assert (reply.text, reply.ended, reply.new_tokens) == ("", "deadline", 0)


# Faults


class Faults:
    """Lets the output layer fail at some of its calls."""

    def __init__(self, layer, fault, steps):
        self.fault, self.steps, self.calls = fault, steps, 0
        self.hook = layer.register_forward_hook(self)

    def __call__(self, layer, inputs, output):
        self.calls += 1
        return self.fault(output) if self.calls in self.steps else output


@pytest.fixture
def broken(babbler):
    """`broken(fault, 2, 5)`: the second and the fifth forward pass fail."""
    installed = []

    def install(fault, *steps):
        installed.append(Faults(babbler.model.lm_head, fault, steps))
        return installed[-1]

    yield install
    for faults in installed:
        faults.hook.remove()


def out_of_memory(_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 48 GiB")


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("report_every_s", [0.0, 9.0])
def test_not_finite_ends_the_call_with_what_was_made(babbler, broken, monkeypatch, temperature, value, report_every_s):
    monkeypatch.setattr(watch, "REPORT_EVERY_S", report_every_s)
    whole = ask(babbler, temperature=temperature, seed=1, max_new_tokens=4)
    faulty = broken(lambda scores: torch.where(torch.arange(scores.shape[-1]) == 7, value, scores), 5)
    control = Listening()
    with pytest.raises(NonFinite, match="after 4 tokens"):
        ask(babbler, control=control, temperature=temperature, seed=1, max_new_tokens=50)
    assert faulty.calls == 5
    made = control.made()[-1]
    assert (made.text, made.new_tokens, made.ended) == (whole.text, 4, "interrupted")


@pytest.mark.parametrize("step", [1, 4])
def test_out_of_memory_once_goes_on_where_it_was(babbler, broken, step):
    whole = ask(babbler, seed=1, temperature=1, max_new_tokens=12)
    faulty = broken(out_of_memory, step)
    reply = ask(babbler, seed=1, temperature=1, max_new_tokens=12)
    assert (reply.text, reply.new_tokens, reply.ended) == (whole.text, 12, "length")
    assert faulty.calls == 13


def test_out_of_memory_twice_says_the_numbers_and_keeps_what_was_made(babbler, broken):
    broken(out_of_memory, 4, 6)
    control = Listening()
    with pytest.raises(OutOfMemory, match=r"\d+ tokens of conversation and 4 of the answer.*2.50 GiB"):
        ask(babbler, control=control, max_new_tokens=12)
    assert (control.made()[-1].new_tokens, control.made()[-1].ended) == (4, "interrupted")


def test_any_other_error_passes_after_a_last_report(babbler, broken):
    def fail(_):
        raise KeyError("odd")

    broken(fail, 4)
    control = Listening()
    with pytest.raises(KeyError, match="odd"):
        ask(babbler, control=control, max_new_tokens=12)
    assert control.made()[-1].ended == "interrupted"


def test_reading_the_prompt_in_parts_changes_nothing(babbler):
    prepared = babbler.prepare(ChatRequest((Message("user", "word " * 30),), temperature=0, max_new_tokens=10))
    rows = [watch.Row(prepared, babbler.tokenizer, frozenset(), frozenset()) for _ in range(2)]
    with torch.inference_mode(), babbler._adapters.turn([prepared], Control()) as turn:
        babbler._generate(rows[:1], watch.Desk(rows[:1], Control(), batched=False), turn)
        babbler._generate(rows[1:], watch.Desk(rows[1:], Control(), batched=False), turn, prefill_chunk_size=50)
    assert rows[0].ids == rows[1].ids


# Several answers


REQUESTS = [
    ChatRequest(
        (Message("user", "Hello " * n),), temperature=0.5 * n, seed=n, top_k=(0, 5, 20, 50)[n], max_new_tokens=4 + 3 * n
    )
    for n in (1, 2, 3)
] + [ChatRequest((Message("user", "Bye"),), temperature=0, repetition_penalty=1.5, max_new_tokens=6)]


def batch(engine, control=None, requests=REQUESTS):
    return engine.generate_batch(engine.prepare_batch(requests), control or Control())


def alone(engine):
    return [engine.generate(engine.prepare(request), Control()).text for request in REQUESTS]


def test_a_batch_gives_each_question_its_own_answer(babbler):
    control = Listening()
    replies = batch(babbler, control)
    assert [reply.text for reply in replies] == alone(babbler)
    assert [reply.new_tokens for reply in replies] == [7, 10, 13, 6]
    assert control.made()[-1] == replies
    prepared = babbler.prepare_batch(REQUESTS)
    assert (prepared.max_new_tokens, prepared.prompt_tokens) == (13, max(reply.prompt_tokens for reply in replies))


def test_in_a_batch_an_answer_ends_when_it_is_complete(hello):
    texts = [
        reply.text for reply in batch(hello, requests=[ChatRequest((Message("user", text),)) for text in ("a", "bcd")])
    ]
    assert texts == ["Hi 😀!"] * 2


@pytest.mark.parametrize("steps", [(1,), (3,), (1, 2), (1, 2, 3)])
def test_a_batch_halves_itself_and_keeps_the_order(babbler, broken, steps):
    expected = alone(babbler)
    broken(out_of_memory, *steps)
    assert [reply.text for reply in batch(babbler)] == expected


def test_a_batch_that_does_not_fit_in_any_part_keeps_what_was_made(babbler, broken):
    broken(out_of_memory, *range(3, 99))
    control = Listening()
    with pytest.raises(OutOfMemory):
        batch(babbler, control)
    assert [made.new_tokens for made in control.made()[-1]] == [2, 2, 2, 0]


def test_stop_ends_a_batch_with_all_there_is(babbler, every_token):
    replies = batch(babbler, Listening(stop_after=8))
    assert [reply.ended for reply in replies] == ["stopped"] * 4
    assert sum(reply.new_tokens for reply in replies) >= 8
    assert replies[-1].new_tokens == 0


def test_a_batch_says_which_question_cannot_be_used(babbler):
    with pytest.raises(RequestError, match="Question 2 of 2"):
        babbler.prepare_batch([REQUESTS[0], ChatRequest((Message("user", "x" * 500),))])
    with pytest.raises(RequestError, match="no question"):
        babbler.prepare_batch([])


def test_what_rides_in_a_request_is_small(babbler):
    prepared = babbler.prepare(REQUESTS[0])
    assert isinstance(prepared, PreparedChat)
    assert len(pickle.dumps(prepared)) < 2000
