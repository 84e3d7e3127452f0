"""ZeroLoRA without a page: which form it takes, what it answers, and what an author is told."""

import json

import gradio as gr
import pytest
import tiny_adapters
import tiny_text

from zerokit import ZeroChat, ZeroLoRA
from zerokit.adapters import AdapterSpec
from zerokit.engines.form import base_and_form, form_of
from zerokit.engines.text import TextEngine
from zerokit.errors import ModelNotFound, RequestError, UsageError
from zerokit.requests import AdapterChoice

TOKENS = tiny_text.tokenizer()
SETTINGS = {"temperature": 0, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_text.save(tmp_path_factory.mktemp("models") / "chat", TOKENS, tiny_text.random_model(TOKENS))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("adapters"), tiny_text.random_model(TOKENS)
    return {name: tiny_adapters.save(folder / name, model, seed=n) for n, name in enumerate(("one", "two"), 1)}


@pytest.fixture(scope="module")
def lora(base, files):
    return ZeroLoRA(base, [AdapterSpec(files["one"], trigger="Ahoy!"), files["two"]], **SETTINGS)


def test_two_visitors_may_click_at_once(lora):
    """On ZeroGPU Gradio's own queue lets one event wait and refuses the next."""
    assert lora._queue.max_size == 1_000


def layout(blocks):
    """Types of the components, in the order in which they stand on the page."""
    config = blocks.get_config_file()
    types = {one["id"]: one["type"] for one in config["components"]}

    def below(node):
        yield types.get(node["id"], "")
        for child in node.get("children") or []:
            yield from below(child)

    return list(below(config["layout"]))


def test_it_is_blocks_with_one_chat_and_one_gallery(lora):
    assert isinstance(lora, gr.Blocks)
    assert not isinstance(lora, ZeroChat)
    assert layout(lora).count("chatbot") == 1
    names = [dep["api_name"] for dep in lora.get_config_file()["dependencies"] if dep["api_visibility"] == "public"]
    assert names == ["chat", "compare"]


def test_a_chat_inside_other_blocks_stands_there_once(lora):
    with gr.Blocks() as outer, gr.Tab("Chat"):
        ZeroChat(lora.engine)
    assert layout(outer).count("chatbot") == 1


def test_answers_with_what_is_named(lora):
    plain, one = lora.ask("hello").text, lora.ask("hello", adapters=["one"]).text
    assert len({plain, one, lora.ask("hello", adapters="two").text}) == 3
    assert lora.ask("hello", adapters={"one": 1.0}).text == lora.ask("Ahoy! hello", adapters=AdapterChoice("one")).text
    assert lora.ask("hello").text == plain


def test_compares_the_base_with_each(lora):
    made = lora.compare("hello", seed=1)
    assert list(made) == ["", "one", "two"]
    assert made[""].text == lora.ask("hello").text
    assert made["two"].text == lora.ask("hello", adapters=["two"]).text
    assert list(lora.compare("hello", adapters={"two": 0.5})) == ["", "two"]


@pytest.mark.parametrize("ask", ["ask", "compare"])
def test_what_cannot_be_asked(lora, ask):
    for adapters, said in ((["on"], 'Did you mean "one"?'), (7, "list of names"), ({"one": 9}, "from -4 to 4")):
        with pytest.raises(RequestError) as caught:
            getattr(lora, ask)("hello", adapters=adapters)
        assert said in caught.value.message
    with pytest.raises(RequestError, match="empty"):
        getattr(lora, ask)(" ", adapters=["one"])
    with pytest.raises(RequestError, match="is a text"):
        getattr(lora, ask)(7, adapters=["one"])


def test_programs_see_the_names_and_bring_nothing_where_that_is_not_allowed(lora):
    info = lora.get_api_info()["named_endpoints"]
    for name in ("/chat", "/compare"):
        (adapters,) = [one for one in info[name]["parameters"] if one["parameter_name"] == "adapters"]
        assert "Literal['one', 'two']" in adapters["python_type"]["type"]
        assert "one, two." in adapters["python_type"]["description"]
        endpoint = next(fn.fn for fn in lora.fns.values() if f"/{fn.api_name}" == name)
        with pytest.raises(gr.Error) as caught:
            endpoint("hello", adapters=["someone/good"])
        assert 'There is no adapter "someone/good"' in caught.value.message


def test_a_ready_engine_gets_more_adapters(base, files):
    engine = TextEngine(base, adapters=[files["one"]])
    lora = ZeroLoRA(engine, [files["two"]], **SETTINGS)
    assert [adapter.name for adapter in lora.engine.adapters] == ["one", "two"]
    assert lora.ask("hello", adapters=["two"]).text != lora.ask("hello").text
    with pytest.raises(UsageError, match='Two adapters are called "one"'):
        ZeroLoRA(engine, [files["one"]])
    with pytest.raises(UsageError, match="takes no dtype"):
        ZeroLoRA(engine, dtype="auto")


def test_the_base_is_that_of_the_first_adapter(files):
    lora = ZeroLoRA(adapters=["embedded:chat-pirate"])
    assert lora.engine.name == "embedded"
    assert [adapter.name for adapter in lora.engine.adapters] == ["chat-pirate"]


def test_which_form_it_takes(base, tmp_path):
    pirate = AdapterSpec("embedded:chat-pirate")
    assert base_and_form(None, [pirate]) == ("embedded", "text")
    assert base_and_form("embedded", [pirate]) == ("embedded", "text")
    assert base_and_form("embedded:chat", []) == ("embedded:chat", "text")
    assert base_and_form("embedded:image", []) == ("embedded:image", "image")
    assert base_and_form(base, []) == (base, "text")
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    assert base_and_form(tmp_path, []) == (tmp_path, "image")
    assert form_of(pirate) == "text"


def test_an_author_is_told_what_lacks(tmp_path):
    with pytest.raises(UsageError, match="An engine needs a model, or an adapter that names one"):
        ZeroLoRA()
    with pytest.raises(UsageError, match='"embedded:chat" or "embedded:image"'):
        ZeroLoRA("embedded")
    with pytest.raises(ModelNotFound):
        ZeroLoRA(tmp_path / "none")
    with pytest.raises(TypeError, match="stepz"):
        ZeroLoRA("embedded", ["embedded:chat-pirate"], stepz=3)
