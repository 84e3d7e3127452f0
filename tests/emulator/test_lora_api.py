"""ZeroLoRA as a program finds it, with the real worker behind it: who gets which adapter, and what is refused."""

import ast
import json
import shutil

import pytest
from chat_world import APPS, babbling_model, until, world
from gradio_client.exceptions import AppError
from hub_stand_in import GOOD_TOKEN, commit_of, serve
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from safetensors.torch import save_file
from test_shelf import one_pair
from tiny_adapters import save
from tiny_text import random_model, tokenizer

from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines.text import TextEngine
from zerokit.requests import AdapterChoice, ChatRequest, Message

NAMES = ("first", "second", "third")
WEIGHTS = "adapter_model.safetensors"
APP = APPS.parent / "lora_apps" / "lora.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    model = random_model(tokenizer(context=2048), max_position_embeddings=2048)
    return {name: save(folder / name, model, seed=n) for n, name in enumerate((*NAMES, "mine"))}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return babbling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def hub(files, tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    for name in ("good", "private", "gated", "pickle", "large", "other", "spoilt", "tall", "odd"):
        shutil.copytree(files["mine"], root / "someone" / name)
    (root / "someone/pickle" / WEIGHTS).rename(root / "someone/pickle/adapter_model.bin")
    (root / "someone/large" / WEIGHTS).rename(root / "someone/large/large.safetensors")
    wide = random_model(tokenizer(), hidden_size=64)
    save(root / "someone/other", wide, seed=9)
    (root / "someone/spoilt" / WEIGHTS).write_bytes(b"<html>" * 100)
    save_file(one_pair(rank=4096), root / "someone/tall" / WEIGHTS)
    save_file(one_pair(), root / "someone/odd" / WEIGHTS)
    with serve(root) as hub:
        hub.private.add("someone/private")
        hub.gated.add("someone/gated")
        hub.sizes["large.safetensors"] = 20_000_000_000
        yield hub


@pytest.fixture(scope="module")
def space(base, files, hub):
    env = {
        "LORA_BASE": str(base),
        "LORA_ADAPTERS": json.dumps({name: str(files[name]) for name in NAMES}),
        "LORA_CUSTOM": "1",
        "LORA_MCP": "1",
        "LORA_DECLARED_S": "20",
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": GOOD_TOKEN,
    }
    with world(APP, env=env, ready_s=900) as space:
        yield space


@pytest.fixture
def lora(space):
    """The app on a new day; whatever a test did to it, it answers afterwards, and nothing of a visitor is left."""
    space.new_day()
    yield space
    space.new_day()
    assert space.ask("and now?", max_new_tokens=2)["ended"] == "length"
    space.settle()
    assert space.client().predict(api_name="/folders") == []


@pytest.fixture
def unasked(lora):
    """The app, for what must not reach the GPU at all."""
    before = len(lora.z.calls)
    yield lora
    assert len(lora.z.calls) == before


@pytest.fixture(scope="module")
def expected(base, files):
    """What the same engine says outside of any worker: by weights, in one line."""
    engine = TextEngine(str(base), adapters=[AdapterSpec(files[name], name=name) for name in (*NAMES, "mine")])

    def answer(message="hello", **weights):
        adapters = [AdapterChoice(name, weight) for name, weight in weights.items()]
        request = ChatRequest((Message("user", message),), temperature=0, max_new_tokens=12, adapters=adapters)
        return engine.generate(engine.prepare(request), Control()).text

    return answer


def refused(lora, message="hello", *, api="/chat", **settings) -> AppError:
    with pytest.raises(AppError) as caught:
        lora.client().predict(message=message, api_name=api, **settings)
    said = f"{caught.value.title} {caught.value.message}"
    assert "Traceback" not in said
    assert "/tmp" not in said
    return caught.value


def test_what_is_named_acts_and_nothing_stays_of_it(lora, expected):
    plain = lora.ask()["text"]
    assert plain == expected()
    assert lora.ask(adapters=["second"])["text"] == expected(second=1) != plain
    assert lora.ask()["text"] == plain
    assert lora.ask(adapters={"second": 0.5})["text"] == expected(second=0.5)
    assert lora.ask(adapters=["second", "third"])["text"] == expected(second=1, third=0.5)
    assert lora.ask(adapters=[])["text"] == lora.ask(adapters={"second": 0})["text"] == plain


def test_trigger_words_are_added(lora, expected):
    assert lora.ask(adapters=["first"])["text"] == expected("Ahoy! hello", first=1)
    assert lora.ask("Ahoy! hello", adapters=["first"])["text"] == expected("Ahoy! hello", first=1)


def test_a_comparison_of_three_is_one_call_and_one_run(lora, expected):
    lora.ask()
    before, runs = len(lora.z.calls), lora.z.visitor("free").runs_left
    made = lora.client().predict("hello", seed=3, api_name="/compare")
    assert [(answer["adapter"], answer["weight"]) for answer in made["answers"]] == [
        ("", 0),
        ("first", 1),
        ("second", 1),
        ("third", 0.5),
    ]
    texts = [answer["text"] for answer in made["answers"]]
    assert texts == [expected(), expected("Ahoy! hello", first=1), expected(second=1), expected(third=0.5)]
    assert (made["seed"], made["ended"]) == (3, "complete")
    until(lambda: len(lora.z.calls) > before)
    (call,) = lora.z.calls[before:]
    assert (call.outcome, call.reserved_s) == ("done", made["reserved_s"])
    assert lora.z.visitor("free").runs_left == runs - 1


def test_a_comparison_that_samples_can_be_made_again(lora):
    def compare(**settings):
        return lora.client().predict("hello", ["second"], temperature=1.5, api_name="/compare", **settings)

    one = compare()
    again = compare(seed=one["seed"])
    assert [answer["text"] for answer in again["answers"]] == [answer["text"] for answer in one["answers"]]
    alone = lora.ask(temperature=1.5, seed=one["seed"], adapters=["second"])
    assert alone["text"] == one["answers"][1]["text"]


@pytest.mark.parametrize(
    ("adapters", "said"),
    [
        (["secnd"], 'There is no adapter "secnd". Did you mean "second"?'),
        ("secnd", "Did you mean"),
        ({"second": 1000}, "must be from -4 to 4"),
        ({"second": "NaN"}, "must be a number"),
        ({"second": True}, "must be a number"),
        (["second", "second"], "chosen twice"),
        ([f"a{n}" for n in range(20)], "There is no adapter"),
        (["<script>alert(1)</script>"], "There is no adapter &quot;&lt;script&gt;"),
        ([7], "list of names"),
        (7, "list of names"),
        (["../../etc/passwd"], "There is no adapter"),
        (["someone/no-such"], "There is no &quot;someone/no-such&quot; on the Hub that everybody can see"),
        (["someone/private"], "that everybody can see"),
        (["someone/gated"], "is gated"),
        (["someone/pickle"], "pickle files only"),
        (["someone/large"], "20.0 GB, and at most 0.5 GB"),
        (["someone/other"], "was made for"),
        (["someone/spoilt"], "no safetensors file"),
        (["someone/tall"], "rank 4,096"),
        (["someone/odd"], "has 1 of 1 layers not"),
        (["someone/<img src=x onerror=alert(1)>"], "There is no adapter"),
    ],
    ids=lambda value: str(value)[:24],
)
@pytest.mark.parametrize("api", ["/chat", "/compare"])
def test_what_cannot_be_used_costs_no_run(unasked, hub, adapters, said, api):
    hub.sent = 0
    error = refused(unasked, adapters=adapters, api=api)
    assert said.replace("&quot;", '"') in error.message.replace("&quot;", '"')
    assert hub.sent < 200_000


@pytest.mark.parametrize("api", ["/chat", "/compare"])
def test_a_disk_that_is_full_costs_no_run(unasked, api):
    unasked.client().predict(10_000, api_name="/limit")
    try:
        assert "no room on its disk" in refused(unasked, adapters=["someone/good"], api=api).message
    finally:
        unasked.client().predict(-1, api_name="/limit")


def test_a_comparison_needs_something_to_compare(unasked):
    assert "Choose an adapter" in refused(unasked, adapters=[], api="/compare").message


@pytest.mark.parametrize("api", ["/chat", "/compare"])
@pytest.mark.parametrize("message", ["", " \n", "x" * 200_000], ids=["empty", "blank", "long"])
def test_what_cannot_be_asked_costs_no_run(unasked, api, message):
    assert refused(unasked, message, adapters=["first"], api=api).title == "Please check your input"


def test_a_visitors_own_is_there_for_one_answer_and_for_nobody_else(lora, hub, expected):
    mine = expected(mine=1)
    assert lora.ask(adapters=["someone/good"])["text"] == mine
    assert lora.client().predict(api_name="/folders") == []
    assert lora.ask()["text"] == expected() != mine
    made = lora.client().predict("hello", {"someone/good": 0.5, "second": 1}, api_name="/compare")
    assert [answer["text"] for answer in made["answers"]] == [expected(), expected(mine=0.5), expected(second=1)]
    assert commit_of("someone/good") not in lora.app.log()
    assert 'There is no adapter "mine"' in refused(lora, adapters=["mine"]).message.replace("&quot;", '"')


def test_two_visitors_at_the_same_moment_and_in_turn(lora, expected):
    lora.ask()
    wanted = {"free:ann": ["second"], "free:bob": ["third"]}
    texts = {"free:ann": expected(second=1), "free:bob": expected(third=0.5)}
    for _ in range(2):
        jobs = {
            visitor: lora.client(visitor).submit("hello", adapters=adapters, api_name="/chat")
            for visitor, adapters in wanted.items()
        }
        assert {visitor: job.result(timeout=60)["text"] for visitor, job in jobs.items()} == texts
        assert lora.client("free:ann").predict("hello", api_name="/chat")["text"] == expected()
    assert {call.cold for call in lora.z.calls[-6:]} == {False}


def test_a_worker_that_dies_leaves_the_adapters_as_they_were(lora, expected):
    lora.z.set_faults("kill:0@1")
    assert refused(lora, adapters=["someone/good"]).title == "The GPU call was interrupted"
    assert lora.client().predict(api_name="/folders") == []
    lora.z.set_faults()
    assert lora.ask(adapters=["second"])["text"] == expected(second=1)
    assert lora.ask()["text"] == expected()


@pytest.mark.parametrize(
    ("fault", "title"),
    [("oom-always@1", "Too large for the GPU"), ("nan@1", "The model lost its way"), ("runs", "No runs left today")],
)
def test_a_comparison_that_fails_says_why(lora, fault, title):
    lora.z.set_faults(fault)
    assert refused(lora, api="/compare").title == title


def test_a_comparison_that_runs_out_of_time_gives_what_there_is(lora):
    lora.client().predict("hello", api_name="/compare")
    lora.z.set_faults("slow:4@1")
    made = lora.client().predict("hello you", api_name="/compare")
    assert made["ended"] == "deadline" or {answer["ended"] for answer in made["answers"]} == {"deadline"}
    assert all(answer["new_tokens"] for answer in made["answers"])


def test_the_endpoints_say_which_adapters_there_are(unasked):
    info = unasked.client().view_api(return_format="dict")
    assert set(info["named_endpoints"]) == {"/chat", "/compare"}
    for endpoint in info["named_endpoints"].values():
        (adapters,) = [one for one in endpoint["parameters"] if one["parameter_name"] == "adapters"]
        assert "first, second, third; or any public repository" in adapters["python_type"]["description"]
        assert adapters["parameter_has_default"]
        assert all(parameter["python_type"]["description"] for parameter in endpoint["parameters"])


def test_they_are_tools(lora, expected):
    import anyio

    async def use():
        async with (
            streamable_http_client(f"{lora.app.url}/gradio_api/mcp/") as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name.rpartition("_")[2]: tool for tool in (await session.list_tools()).tools}
            asked = {"message": "hello", "adapters": ["second"]}
            return tools, await session.call_tool(tools["chat"].name, asked)

    tools, result = anyio.run(use)
    assert set(tools) == {"chat", "compare"}
    assert "first, second, third" in tools["compare"].inputSchema["properties"]["adapters"]["description"]
    assert ast.literal_eval(result.content[0].text)["text"] == expected(second=1)
