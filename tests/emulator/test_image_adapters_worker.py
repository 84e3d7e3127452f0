"""Adapters of images in the real worker: packed with the base or loaded there, and what a request says is what acts."""

import hashlib
import json
import threading

import pytest
from image_world import APPS, tiny_image, until, world
from tiny_image_adapters import save, save_kohya

from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines.image import ImageEngine
from zerokit.requests import AdapterChoice, ImageRequest

NAMES = ("first", "second", "mine")
ROWS = [{}, {"first": 1}, {"second": 0.5}, {"mine": 1}, {"first": 1, "second": 1, "mine": -1}, {"first": 2}, {}]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return {
        "first": str(save(folder / "first", seed=1)),
        "second": str(save_kohya(folder / "second.safetensors", seed=2)),
        "mine": str(save(folder / "mine", seed=3)),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_image.make("stable-diffusion", tmp_path_factory.mktemp("model") / "sd"))


@pytest.fixture(scope="module")
def expected(model, files):
    """What the same model paints outside of any worker, each picture with an engine that has nothing else loaded."""

    def paint(row):
        engine = ImageEngine(model, adapters=[AdapterSpec(files[name], name=name) for name in row])
        adapters = [AdapterChoice(name, weight) for name, weight in row.items()]
        request = ImageRequest("a red circle", steps=2, seed=5, adapters=adapters)
        (picture,) = engine.generate(engine.prepare(request), Control()).pictures
        return hashlib.sha256(picture.image.tobytes()).hexdigest()

    return [paint(row) for row in ROWS]


@pytest.fixture(scope="module")
def env(model, files):
    return {"IMAGE_MODEL": model, "IMAGE_ADAPTERS": json.dumps(files)}


@pytest.fixture(scope="module")
def space(env):
    with world(APPS / "adapters.py", env=env, gpus=2) as space:
        yield space


def test_in_a_worker_as_outside(space, expected):
    for row, picture in zip(ROWS, expected, strict=True):
        assert space.client().predict([row], api_name="/paint") == [picture]
        space.new_day()
    assert {call.cold for call in space.z.calls[1:]} == {False}


def test_several_are_compared_in_one_call(space, expected):
    calls = len(space.z.calls)
    assert space.client().predict(ROWS, api_name="/paint") == expected
    assert len(space.z.calls) == calls + 1
    until(lambda: space.z.leases == [])


def test_two_visitors_in_turn_and_at_once(space, expected):
    space.new_day()
    for turn in (3, 1, 0, 2, 0):
        visitor = ("free", "pro")[turn % 2]
        assert space.client(visitor).predict([ROWS[turn]], api_name="/paint") == [expected[turn]]
    got = {}

    def ask(visitor, places):
        got[visitor] = [space.client(visitor).predict([ROWS[n]], api_name="/paint")[0] for n in places]

    asked = {"free": (1, 0, 3), "pro": (2, 0, 4)}
    threads = [threading.Thread(target=ask, args=one) for one in asked.items()]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert got == {visitor: [expected[n] for n in places] for visitor, places in asked.items()}
    until(lambda: space.z.leases == [])


def test_on_the_strict_device(env, expected):
    with world(APPS / "adapters.py", env=env, strict=True) as space:
        some = (2, 4, 0)
        assert space.client().predict([ROWS[n] for n in some], api_name="/paint") == [expected[n] for n in some]
        assert space.client().predict([{}], api_name="/paint") == [expected[0]]
        until(lambda: space.z.leases == [])
