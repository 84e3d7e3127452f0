"""ZeroLoRA over an image model as a program finds it, with the real worker behind it."""

import json

import anyio
import pytest
from gradio_client.exceptions import AppError
from image_world import Made, image_world, same
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from tiny_image_adapters import save

from zerokit.requests import AdapterChoice

NAMES = ("outline", "pastel", "third")


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    adapters = {name: str(save(folder / name, seed=seed)) for seed, name in enumerate(NAMES, 1)}
    env = {"LORA_ADAPTERS": json.dumps(adapters), "LORA_MCP": "1", "IMAGE_STEPS": "2"}
    with image_world("lora.py", folder, env=env) as space:
        for endpoint in ("/generate", "/compare"):  # what steps take on this machine is learned
            space.client().predict("a circle", steps=20, api_name=endpoint)
        yield space


@pytest.fixture
def images(space):
    """The app on a new day; whatever a test did to it, it holds nothing afterwards."""
    space.new_day()
    yield space
    space.settle()


@pytest.fixture
def unasked(space):
    """The app, for what must not reach the GPU at all."""
    space.new_day()
    before = len(space.z.calls)
    yield space
    assert len(space.z.calls) == before


def compare(images, prompt="a red circle", **settings) -> Made:
    return images.made(*images.client().predict(prompt, api_name="/compare", **settings))


def test_adapters_act_where_they_are_named_and_nowhere_else(images):
    plain = images.paint(seed=3)
    outline = images.paint(seed=3, adapters=["outline"])
    both = images.paint(seed=3, adapters={"pastel": 1, "outline": -0.5})
    assert images.last.cold is False
    again = images.paint(seed=3)
    pictures = [made.pictures[0] for made in (plain, outline, both)]
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert same(again.pictures[0], pictures[0])
    assert same(images.paint(seed=3, adapters=["outline"]).pictures[0], pictures[1])
    off = images.paint(seed=3, adapters={"outline": 0})
    assert same(off.pictures[0], pictures[0])


def test_a_file_says_which_adapters_acted_and_the_words_that_were_added(images):
    (record,) = images.paint(adapters=["outline", "pastel"], seed=1).records
    assert record.adapters == (AdapterChoice("outline", 1), AdapterChoice("pastel", 0.5))
    assert record.prompt == "outlined a red circle in pastel"
    (record,) = images.paint("OUTLINED, a red circle", adapters={"outline": 0.25, "pastel": 0}, seed=1).records
    assert record.adapters == (AdapterChoice("outline", 0.25), AdapterChoice("pastel", 0))
    assert record.prompt == "OUTLINED, a red circle"


def test_several_pictures_with_an_adapter_are_one_run(images):
    before = len(images.z.calls)
    made = images.paint(images=3, seed=5, adapters=["third"])
    assert len(images.z.calls) == before + 1
    assert made["seeds"] == [5, 6, 7]
    alone = images.paint(seed=6, adapters=["third"])
    assert same(alone.pictures[0], made.pictures[1], tolerance=2)


def test_a_comparison_is_one_run_and_shows_each_alone(images):
    before, runs = len(images.z.calls), images.z.visitor("free").runs_left
    made = compare(images, seed=9)
    assert len(images.z.calls) == before + 1
    assert images.z.visitor("free").runs_left == runs - 1
    assert made.captions == ["Base · Seed 9", "outline · Seed 9", "pastel × 0.5 · Seed 9", "third · Seed 9"]
    assert (made["seed"], made["ended"]) == (9, "complete")
    shown = [(one["adapter"], one["weight"], one["ended"]) for one in made["pictures"]]
    assert shown == [(name, weight, "complete") for name, weight in zip(("", *NAMES), (0, 1, 0.5, 1), strict=True)]
    assert made["reserved_s"] == images.last.reserved_s
    images.new_day()
    for picture, adapters in zip(made.pictures, (None, ["outline"], ["pastel"], ["third"]), strict=True):
        assert same(images.paint(seed=9, adapters=adapters).pictures[0], picture)
    assert [record.adapters for record in made.records][::3] == [(), (AdapterChoice("third", 1),)]


def test_a_comparison_of_those_that_are_named(images):
    made = compare(images, adapters={"third": 0.5})
    assert [one["adapter"] for one in made["pictures"]] == ["", "third"]
    seeds = {record.seed for record in made.records}
    assert seeds == {made["seed"]}


@pytest.mark.parametrize(
    ("adapters", "said"),
    [
        (["outlin"], 'Did you mean "outline"'),
        ({"outline": 9}, "-4 to 4"),
        ({"outline": "Infinity"}, "number"),
        ({"outline": "much"}, "number"),
        (["outline", "outline"], "twice"),
        (["someone/else"], "no adapter"),
        ([["outline"]], "list of names"),
        (7, "list of names"),
        ("<img src=x onerror=alert(1)>", "no adapter"),
    ],
)
def test_what_cannot_be_chosen_is_told_before_a_gpu_is_asked_for(unasked, adapters, said):
    error = unasked.refused(adapters=adapters)
    assert said in f"{error.title} {error.message}"


def test_a_comparison_of_nothing_is_told(unasked):
    with pytest.raises(AppError, match="Choose an adapter"):
        compare(unasked, adapters=[])


def test_the_endpoints_name_the_adapters(unasked):
    endpoints = unasked.client().view_api(return_format="dict")["named_endpoints"]
    for name in ("/generate", "/compare"):
        parameters = {parameter["parameter_name"]: parameter for parameter in endpoints[name]["parameters"]}
        assert list(parameters)[:2] == ["prompt", "adapters"]
        assert parameters["adapters"]["type"]["anyOf"][0]["items"]["enum"] == list(NAMES)
        assert "outline, pastel, third" in parameters["adapters"]["python_type"]["description"]
        assert [one for one, parameter in parameters.items() if not parameter["parameter_has_default"]] == ["prompt"]
    assert "images" not in parameters


def test_they_are_the_only_tools(images):
    async def use():
        async with (
            streamable_http_client(f"{images.app.url}/gradio_api/mcp/") as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name.rpartition("_")[2]: tool for tool in (await session.list_tools()).tools}
            asked = {"prompt": "a circle", "seed": 3, "adapters": ["third"]}
            return tools, await session.call_tool(tools["generate"].name, asked)

    tools, made = anyio.run(use)
    assert sorted(tools) == ["compare", "generate"]
    assert not made.isError
    assert "Seed 3" in made.content[0].text
