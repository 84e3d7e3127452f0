"""Who is billed, who is signed in, and that both are one person."""

from __future__ import annotations

import httpx
import pytest

from zerokit.emulator.openid import COOKIE


def _who(http, url, headers=None):
    """Call `who` as the page does, over the queue."""
    url = f"{url}/gradio_api/call/who"
    event = http.post(url, json={"data": []}, headers=headers).raise_for_status().json()["event_id"]
    with http.stream("GET", f"{url}/{event}", headers=headers) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    import json

    return json.loads(lines[-1].removeprefix("data: "))[0]


@pytest.fixture
def browser():
    """A browser session: cookies, redirects."""
    with httpx.Client(follow_redirects=True, timeout=20, trust_env=False) as http:
        yield http


def test_a_visitor_with_an_account_is_signed_in_from_the_start(world):
    seen = world.client("probe", "pro").predict(api_name="/who")
    assert seen == {
        "header": world.z.header("pro")["x-ip-token"],
        "profile": "pro",
        "token": world.z.visitor("pro").token,
    }


def test_nobody_signs_in_an_anonymous_visitor(world):
    seen = world.client("probe", "anonymous").predict(api_name="/who")
    assert (seen["profile"], seen["token"]) == (None, None)
    assert seen["header"] == world.z.header("anonymous")["x-ip-token"]


def test_a_browser_session_is_whom_the_page_says(world, browser):
    z, app = world.z, world.apps["probe"]
    assert _who(browser, app.url)["profile"] == "free"
    browser.post(f"{z.url}/-/visitor", params={"name": "team"}).raise_for_status()
    assert _who(browser, app.url) == {
        "header": z.header("team")["x-ip-token"],
        "profile": "team",
        "token": z.visitor("team").token,
    }
    browser.post(f"{z.url}/-/visitor", params={"name": "anonymous"}).raise_for_status()
    assert _who(browser, app.url)["token"] is None
    with httpx.Client(timeout=20, trust_env=False) as other:
        assert _who(other, app.url)["profile"] == "free"


def test_a_hub_token_is_a_visitor_too(world, browser):
    seen = _who(browser, world.apps["probe"].url, {"Authorization": f"Bearer {world.z.visitor('pro').token}"})
    assert seen["header"] == world.z.header("pro")["x-ip-token"]


def test_signing_out_lasts_and_signing_in_ends_it(world, browser):
    app = world.apps["probe"]
    browser.get(f"{app.url}/logout").raise_for_status()
    assert _who(browser, app.url)["profile"] is None
    browser.get(f"{app.url}/login/huggingface").raise_for_status()
    assert _who(browser, app.url)["profile"] == "free"


def test_the_login_button_works_with_one_click(strict_world, browser):
    z, app = strict_world.z, strict_world.apps["probe"]
    browser.post(f"{z.url}/-/visitor", params={"name": "pro"}).raise_for_status()
    before = _who(browser, app.url)
    assert (before["profile"], before["header"]) == (None, z.header("pro")["x-ip-token"])
    page = browser.get(f"{app.url}/login/huggingface")
    assert page.status_code == 200
    assert str(page.url).startswith(app.url)
    after = _who(browser, app.url)
    assert (after["profile"], after["token"]) == ("pro", z.visitor("pro").token)
    quota = browser.get(f"{z.url}/api/spaces/zero-gpu/quota", headers={"Authorization": f"Bearer {after['token']}"})
    assert quota.json()["base"] == 2400


def test_an_anonymous_visitor_chooses_who_to_be_and_is_billed_as_that(strict_world, browser):
    z, app = strict_world.z, strict_world.apps["probe"]
    choice = browser.get(f"{app.url}/login/huggingface")
    assert "Sign in as Free account" in choice.text
    browser.get(choice.url.copy_merge_params({"visitor": "free"})).raise_for_status()
    assert browser.cookies[COOKIE] == "free"
    seen = _who(browser, app.url)
    assert (seen["profile"], seen["header"]) == ("free", z.header("free")["x-ip-token"])


def test_nobody_is_sent_to_another_machine(strict_world, browser):
    answer = browser.get(f"{strict_world.z.url}/oauth/authorize", params={"redirect_uri": "https://example.com/"})
    assert answer.status_code == 400


def test_a_cookie_of_nonsense_is_nobody_in_particular(world, browser):
    browser.cookies.set(COOKIE, "root;../")
    assert _who(browser, world.apps["probe"].url)["profile"] == "free"
    assert browser.post(f"{world.z.url}/-/visitor", params={"name": "fre"}).status_code == 400
