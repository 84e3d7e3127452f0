"""The component as Gradio sees it: where it is, what it adds to an app, what it takes and gives."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import pytest

import zerokit.quota
from zerokit.quota import hub
from zerokit.quota.meter import ZeroQuota
from zerokit.quota.state import MeterState


@dataclass(frozen=True)
class Usage:
    used_s: float = 6.3
    reserved_s: float | None = 12
    granted_s: float | None = 12
    cold: bool = False
    ran: bool = True


@pytest.fixture
def on_zero_gpu(monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")


@pytest.fixture
def the_hub(monkeypatch):
    """The Hub's answers, by token."""
    answers = {}
    forgotten = []
    monkeypatch.setattr(hub, "fetch", lambda token: answers.get(token))
    monkeypatch.setattr(hub, "forget", forgotten.append)
    answers["forgotten"] = forgotten
    return answers


def an_app():
    with gr.Blocks(analytics_enabled=False) as demo:
        quota = ZeroQuota(price_s=9)
        slider = gr.Slider(1, 10)
        run = gr.Button("Run")
        quota.follow(run.click(str, slider, gr.Textbox(), api_name="run"), price=lambda value: value, inputs=slider)
    return demo, quota


def test_absent_off_zero_gpu(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    demo, quota = an_app()
    assert quota.visible is False
    assert [fn.api_name for fn in demo.fns.values()] == ["run"]
    assert quota.update(None, token="a token") == MeterState().as_value()


@pytest.mark.usefixtures("on_zero_gpu")
def test_it_adds_nothing_to_the_apps_endpoints():
    demo, quota = an_app()
    assert quota.visible is True
    assert quota.skip_api
    assert list(demo.get_api_info()["named_endpoints"]) == ["/run"]
    assert not demo.expects_oauth


@pytest.mark.usefixtures("on_zero_gpu")
def test_no_oauth_outside_of_a_space(monkeypatch):
    monkeypatch.delenv("SYSTEM", raising=False)
    monkeypatch.setenv("OAUTH_CLIENT_ID", "id")
    demo, _ = an_app()
    assert not demo.expects_oauth


@pytest.mark.usefixtures("on_zero_gpu")
def test_oauth_routes_come_with_the_bar_where_the_space_has_oauth(monkeypatch):
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_ID", "someone/space")
    monkeypatch.setenv("OAUTH_CLIENT_ID", "id")
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL"):
        monkeypatch.setattr(gr.oauth, name, "http://openid.test")
    demo, _ = an_app()
    assert demo.expects_oauth
    assert list(demo.get_api_info()["named_endpoints"]) == ["/run"]
    assert str(Path(gr.__file__).parent) not in json.dumps(demo.get_config_file(), default=str)
    with gr.Blocks(analytics_enabled=False) as demo:
        gr.LoginButton()
        ZeroQuota()
    assert sum(isinstance(block, gr.LoginButton) for block in demo.blocks.values()) == 1


@pytest.mark.usefixtures("on_zero_gpu")
def test_placed_later_and_nested():
    quota = ZeroQuota(render=False)
    with gr.Blocks(analytics_enabled=False) as inner:
        quota.render()
    with gr.Blocks(analytics_enabled=False) as outer, gr.Tab("One"):
        inner.render()
    assert [fn.targets[0][1] for fn in outer.fns.values()] == ["load", "refresh"]
    assert outer.fns[0].targets == [(outer._id, "load")]


@pytest.mark.usefixtures("on_zero_gpu")
def test_update_with_and_without_the_hub(the_hub):
    quota = ZeroQuota()
    the_hub["a token"] = hub.Quota(left_s=212, base_s=300, runs_limit=8, runs_left=5)
    value = quota.update(None, token="a token", usage=Usage(), price_s=9)
    assert (value["left_s"], value["runs_left"], value["price_s"], value["signed_in"]) == (212, 5, 9, True)
    assert value["last"] == {"used_s": 6.3, "reserved_s": 12, "cold": False}
    assert the_hub["forgotten"] == ["a token"]
    value = quota.update(value, token=None)
    assert value["exactness"] == "at most"
    assert "token" not in json.dumps(value)


@pytest.mark.usefixtures("on_zero_gpu", "the_hub")
def test_nobody_signed_in():
    quota = ZeroQuota()
    for handler in (lambda: quota._on_load(None), lambda: quota._on_refresh(None, None)):
        assert handler()["exactness"] == "unknown"
    assert quota._after_call("garbage", None)["page_runs"] == 1


@pytest.mark.usefixtures("on_zero_gpu")
def test_only_known_facts_pass_in_and_out():
    quota = ZeroQuota()
    hostile = {"__type__": "update", "visible": False, "html": "<script>", "left_s": 3, "exactness": "exact"}
    assert quota.preprocess(hostile) == MeterState(exactness="exact", left_s=3).as_value()
    assert quota.postprocess(hostile) == quota.preprocess(hostile)
    assert quota.postprocess(MeterState(left_s=3, exactness="exact")) == quota.preprocess(hostile)
    assert quota.preprocess("") is None
    assert quota.postprocess(None) is None


@pytest.mark.usefixtures("on_zero_gpu")
@pytest.mark.parametrize(("price", "shown"), [(9, 9), (None, None), (-1, None), (float("nan"), None), ("9", None)])
def test_priced_changes_only_the_price(price, shown):
    assert ZeroQuota().priced(price) == {"__type__": "update", "price_s": shown}


@pytest.mark.usefixtures("on_zero_gpu")
def test_an_estimate_that_fails_is_no_price(caplog):
    with gr.Blocks(analytics_enabled=False) as demo:
        ZeroQuota().price(lambda: 1 / 0)
    reprice = next(fn.fn for fn in demo.fns.values() if fn.name == "reprice")
    assert reprice()["price_s"] is None
    assert "price" in caplog.text


def test_publishing_has_all_of_it():
    entry = ZeroQuota(visible=True)._to_publish_format(tags=["quota"])
    assert (entry["id"], entry["name"]) == ("zero-quota", "Zero Quota")
    assert "zq-track" in entry["html_template"]
    assert entry["css_template"]
    assert entry["js_on_load"]
    json.dumps(entry)


def test_importing_the_room_is_cheap_and_writes_nothing():
    folder = Path(zerokit.quota.__file__).parent
    heavy = "{'gradio', 'torch', 'spaces', 'huggingface_hub'}"
    code = f"import sys, zerokit.quota, zerokit.quota.state; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list(folder.glob("*.pyi")) == []
