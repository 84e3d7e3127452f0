"""Adapters in the real worker: packed with the base or loaded there, and what a request says is what acts."""

import json

import pytest
from chat_world import APPS, babbling_model, until, world
from tiny_adapters import save
from tiny_text import random_model, tokenizer

from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines.text import TextEngine
from zerokit.requests import AdapterChoice, ChatRequest, Message

NAMES = ("first", "second", "mine")
ROWS = [{}, {"first": 1}, {"second": 0.5}, {"mine": 1}, {"first": 1, "second": 1, "mine": -1}, {"first": 2}, {}]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    model = random_model(tokenizer(context=2048), max_position_embeddings=2048)
    return {name: str(save(folder / name, model, seed=n)) for n, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return str(babbling_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def expected(chat, files):
    """What the same engine says outside of any worker."""
    engine = TextEngine(chat, adapters=[AdapterSpec(files[name], name=name) for name in NAMES])

    def answer(row):
        adapters = [AdapterChoice(name, weight) for name, weight in row.items()]
        request = ChatRequest((Message("user", "Hello"),), temperature=0, max_new_tokens=12, adapters=adapters)
        return engine.generate(engine.prepare(request), Control()).text

    return [answer(row) for row in ROWS]


def test_in_a_worker_as_outside(chat, files, expected):
    """On the device that refuses what a real card refuses."""
    env = {"CHAT_MODEL": chat, "CHAT_ADAPTERS": json.dumps(files)}
    with world(APPS / "adapters.py", env=env, strict=True) as space:
        for row, text in zip(ROWS, expected, strict=True):
            assert space.client().predict([row], api_name="/ask") == [text]
            space.new_day()
        assert space.client().predict(ROWS, api_name="/ask") == expected
        assert {call.cold for call in space.z.calls[1:]} == {False}
        until(lambda: space.z.leases == [])
