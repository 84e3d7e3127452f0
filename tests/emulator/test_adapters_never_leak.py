"""Requests at random, of two visitors at once, in warm workers and in new ones: each gets what it gets alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from chat_world import APPS, World, babbling_model, until, world
from gradio_client import Client
from tiny_adapters import save

from zerokit.emulator.processes import alive, kill

import tiny_image  # found where chat_world looks for it  # isort: skip
import tiny_image_adapters  # isort: skip
import tiny_text  # isort: skip

COUNT = int(os.environ.get("ZEROKIT_TEST_REQUESTS", "200"))
SEED = int(os.environ.get("ZEROKIT_TEST_SEED", "4"))
DISTINCT = 40
"""As many different requests are there; each comes again and again, after others."""
NEW_WORKERS = 4
"""So often all workers die, and the next calls are cold."""
VISITORS = ("pro:ann", "pro:bob")
NAMES = ("a", "b", "c", "d", "mine")


def made_up(dice: random.Random) -> list[dict]:
    """Different requests: of one row or several, each with no adapter, one, or some, weakly or strongly."""
    requests: list[dict] = []
    while len(requests) < DISTINCT:
        kind = "text" if len(requests) % 5 < 3 else "image"
        rows = [row(dice) for _ in range(dice.choice((1, 1, 2, 3) if kind == "text" else (1, 1, 1, 2)))]
        asked = {"kind": kind, "rows": rows}
        if asked not in requests:
            requests.append(asked)
    return requests


def row(dice: random.Random) -> dict:
    names = dice.sample(NAMES, dice.choice((0, 0, 1, 1, 1, 2, 3)))
    return {
        "prompt": dice.choice(("Hello", "a red circle", "Who are you?")),
        "seed": dice.randrange(3),
        "temperature": dice.choice((0, 0, 0.9)),
        "adapters": [[name, dice.choice((1, 1, 0.5, -1, 2, 0))] for name in names],
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaking")
    chat = tiny_text.random_model(tiny_text.tokenizer(context=2048), max_position_embeddings=2048)
    ours = {
        "text": {name: str(save(folder / "text" / name, chat, seed=n)) for n, name in enumerate(NAMES)},
        "image": {name: str(tiny_image_adapters.save(folder / "image" / name, seed=n)) for n, name in enumerate(NAMES)},
    }
    return {
        "LEAKING_CHAT": str(babbling_model(folder / "chat")),
        "LEAKING_IMAGE": str(tiny_image.make("stable-diffusion", folder / "pipeline")),
        "LEAKING_FILES": json.dumps(ours),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def requests():
    return made_up(random.Random(SEED))


@pytest.fixture(scope="module")
def alone(files, requests):
    """What each request gives in a process of its own, by a program that runs beside the test; and the bases."""
    command = [sys.executable, str(APPS / "leaking_work.py")]
    own = {**os.environ, **files, "ZEROKIT_HOME": "off"}
    with subprocess.Popen(command, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        program.stdin.write(json.dumps(requests))
        program.stdin.close()
        yield program
        program.stdout.close()


@pytest.fixture(scope="module")
def space(files):
    with world(APPS / "leaking.py", env=files, gpus=2) as space:
        yield space


def new_workers(space: World) -> None:
    """Let all workers die, as they do on the platform whenever it needs their cards."""
    until(lambda: space.z.leases == [])
    pids = space.z.workers
    for pid in pids:
        kill(pid)
    until(lambda: not any(alive(pid) for pid in pids))


def test_every_answer_is_what_it_is_alone(alone, requests, space):
    dice = random.Random(SEED + 1)
    order = [dice.randrange(len(requests)) for _ in range(COUNT)]
    clients = [space.client(visitor) for visitor in VISITORS]
    before = space.client(VISITORS[0]).predict(api_name="/digest")
    given: list[tuple[int, list[str]]] = []
    part = -(-COUNT // NEW_WORKERS)
    for at in range(0, COUNT, part):
        new_workers(space)
        given += two_at_once(clients, requests, order[at : at + part])
        space.new_day()
    after = [client.predict(api_name="/digest") for client in clients]

    told = json.loads(alone.stdout.read().splitlines()[-1])
    are_worth_it(requests, told["answers"])
    wrong = [
        f"request {number} ({requests[number]}) gave {got}, and alone {told['answers'][number]}"
        for number, got in given
        if got != told["answers"][number]
    ]
    assert not wrong, f"{len(wrong)} of {COUNT} with seed {SEED}, the first: {wrong[0]}"
    assert sorted(number for number, _ in given) == sorted(order)
    assert {before, *after} == {told["bases"]}
    calls = [call for call in space.z.calls if call.outcome == "done"]
    assert len(calls) == COUNT + 3
    assert sum(bool(call.cold) for call in calls) > NEW_WORKERS
    assert {call.gpu for call in calls} == {0, 1}
    assert {call.visitor for call in calls} == set(VISITORS)


def are_worth_it(requests: list[dict], answers: list[list[str]]) -> None:
    """Nothing could be seen to leak if adapters did not change the answers, or were not used in all ways."""
    rows = [row for asked in requests for row in asked["rows"]]
    assert {len(row["adapters"]) for row in rows} == {0, 1, 2, 3}
    assert {name for row in rows for name, _ in row["adapters"]} == set(NAMES)
    assert {asked["kind"] for asked in requests if len(asked["rows"]) > 1} == {"text", "image"}
    assert len({str(answer) for answer in answers}) > 0.8 * len(answers)


def two_at_once(clients: list[Client], requests: list[dict], order: list[int]) -> list[tuple[int, list[str]]]:
    """Each visitor takes the next request as soon as the last one is answered."""
    waiting = iter(order)
    taken: list[tuple[int, list[str]]] = []

    def visit(client: Client) -> None:
        for number in waiting:
            taken.append((number, client.predict(requests[number], api_name="/ask")))

    with ThreadPoolExecutor(len(clients)) as pool:
        for visitor in [pool.submit(visit, client) for client in clients]:
            visitor.result()
    return taken
