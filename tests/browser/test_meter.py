"""The bar in a page: every state, its words, its look at 360 px and in the dark, sign-in, the outer page's plan."""

import base64
import hashlib
import json
import socket
import threading
import time
from datetime import datetime, timedelta, timezone

import fastapi
import gradio as gr
import itsdangerous
import pytest
import uvicorn
from fastapi.responses import HTMLResponse, JSONResponse
from playwright.sync_api import expect

from zerokit.quota import hub, words
from zerokit.quota.meter import ZeroQuota
from zerokit.quota.state import LastCall, MeterState

# Gradio 6.31 sums up its queue, in a thread, with what pandas 3 has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
NOW = datetime.now(timezone.utc)
LATER = NOW + timedelta(hours=5)
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
expect.set_options(timeout=15_000)


def exact(left_s, **facts):
    day = {"base_s": 300, "resets_at": LATER, "runs_limit": 8, "runs_left": 5, "as_of": NOW}
    return MeterState(left_s=left_s, **({"exactness": "exact", "plan": "free", "signed_in": True} | day | facts))


STATES = {
    "fresh": exact(300, resets_at=None, runs_left=8),
    "used": exact(212, price_s=9, last=LastCall(6.3, 12, True)),
    "low": exact(45, price_s=90),
    "empty": exact(0),
    "runs-gone": exact(180, runs_left=0, runs_reset_at=NOW + timedelta(minutes=6)),
    "unknown": MeterState(can_sign_in=True, as_of=NOW),
    "paid": MeterState("exact", "pro", True, base_s=2400, left_s=0, overquota=True, overquota_used_s=200),
}


@pytest.fixture
def page(browser):
    context = browser.new_context(locale="en-GB", timezone_id="UTC", viewport={"width": 1100, "height": 600})
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []


class Hub:
    """The Hub's side: the quota endpoint, and a page with the Space in a frame."""

    def __init__(self):
        self.answer, self.status, self.tokens, self.plan, self.space = {}, 200, [], None, ""
        app = fastapi.FastAPI()

        @app.get("/api/spaces/zero-gpu/quota")
        def quota(request: fastapi.Request):
            self.tokens.append(request.headers["authorization"])
            return JSONResponse(self.answer, self.status)

        @app.get("/outer")
        def outer():
            plan = json.dumps(self.plan).replace("<", r"\u003c")
            return HTMLResponse(
                f"""<iframe src="{self.space}" width="1000" height="500"></iframe><script>
                window.addEventListener("message", (event) => {{
                  if (event.data.type !== "USER_PLAN_REQUEST") return;
                  event.source.postMessage({{type: "USER_PLAN", plan: {plan}}}, event.origin);
                }});</script>"""
            )

        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def close(self):
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def the_hub():
    the_hub = Hub()
    yield the_hub
    the_hub.close()


@pytest.fixture(scope="module")
def space(the_hub):
    """A Space with OAuth that uses the bar in Blocks of its own; the visitor is whoever the session cookie says."""
    with pytest.MonkeyPatch.context() as patch:
        oauth = {"CLIENT_ID": "id", "CLIENT_SECRET": "secret", "SCOPES": "openid read-billing"}
        for name, value in oauth.items():
            patch.setenv(f"OAUTH_{name}", value)
            patch.setattr(gr.oauth, f"OAUTH_{name}", value)
        patch.setattr(gr.oauth, "OPENID_PROVIDER_URL", the_hub.url)
        for name, value in {"SYSTEM": "spaces", "SPACE_ID": "someone/space", "HF_ENDPOINT": the_hub.url}.items():
            patch.setenv(name, value)
        demo = build()
        demo.space_id = None  # Gradio's page would ask the Hub for the Space
        yield launch(demo)
        demo.close(verbose=False)


def launch(demo):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    demo.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False
    )
    return f"http://127.0.0.1:{port}/"


def build():
    with gr.Blocks(analytics_enabled=False) as inner:
        quota = ZeroQuota(visible=True, elem_id="quota")
        value = gr.Textbox(elem_id="value")
        show = gr.Button("Show")
        show.click(lambda text: MeterState.from_value(json.loads(text)), value, quota, show_progress="hidden")
        settings = gr.Number(10, elem_id="settings")
        run = gr.Button("Run")
        plan = gr.Textbox(elem_id="plan")
        quota.follow(
            run.click(lambda shown: str((shown or {}).get("plan")), quota, plan),
            price=lambda seconds: seconds * 1.5,
            inputs=settings,
        )
    with gr.Blocks(analytics_enabled=False) as demo, gr.Tab("A tab"):
        inner.render()
    return demo


@pytest.fixture(autouse=True)
def a_new_day(the_hub):
    the_hub.answer, the_hub.status = {}, 200
    the_hub.tokens.clear()
    hub._cache = hub._Cache()


def sign_in(page):
    session = {
        "oauth_info": {
            "access_token": "hf_oauth_visitor",
            "scope": "read-billing",
            "expires_at": int(time.time()) + 600,
            "userinfo": {"preferred_username": "someone"},
        }
    }
    signer = itsdangerous.TimestampSigner(hashlib.sha256(b"secret-v4").hexdigest())
    cookie = signer.sign(base64.b64encode(json.dumps(session).encode())).decode()
    page.set_extra_http_headers({"cookie": f"session={cookie}"})  # the real one is for https only


def show(page, value):
    page.locator("#value textarea").fill(json.dumps(value))
    page.get_by_role("button", name="Show").click()


def visit(page, url):
    page.goto(url)
    expect(page.locator("#quota .zq:not([data-kind=waiting])")).to_be_visible()
    return page.locator("#quota .zq")


def test_every_state_in_words(page, space):
    bar = visit(page, space)
    meter = page.get_by_role("meter", name="GPU time left")
    back = LATER.strftime("%H:%M")
    day = "" if LATER.date() == NOW.date() else "tomorrow "
    said = {
        "fresh": ["5 min and 8 runs left"],
        "used": [
            "3 min 32 s and 5 runs left,",
            f"back {day}at {back}",
            "Next run: about 9 s",
            "reserved 12 s, used 6.3 s",
        ],
        "low": ["45 s and 5 runs left,", "Next run needs 1 min 30 s: up to 45 s fits"],
        "empty": ["No GPU time left,", "PRO gives 40 min a day"],
        "runs-gone": ["No runs left,", "back in 6 min"],
        "unknown": ["GPU time left is not known", "Sign in"],
        "paid": ["On credits, 3 min 20 s so far"],
    }
    for kind, state in STATES.items():
        show(page, state.as_value())
        expect(bar).to_have_attribute("data-kind", kind)
        for text in said[kind]:
            expect(bar).to_contain_text(text)
        expect(meter).to_have_attribute("aria-valuetext", page.locator(".zq-main").inner_text().strip())
        assert bar.bounding_box()["height"] <= 44
        left = 0 if kind in ("unknown", "paid") else state.left_s
        assert meter.get_attribute("aria-valuenow") == str(int(left))
    expect(page.locator(".zq-live")).to_have_text("On credits, 3 min 20 s so far")


def test_phone_and_dark(page, space):
    page.set_viewport_size({"width": 360, "height": 640})
    bar = visit(page, space)
    for kind, state in STATES.items():
        show(page, state.as_value())
        expect(bar).to_have_attribute("data-kind", kind)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        box = bar.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert box["height"] <= 80
    assert contrast(page) > 4.5
    light = bar.evaluate("bar => getComputedStyle(bar).backgroundColor")
    page.evaluate("document.body.classList.add('dark')")
    assert bar.evaluate("bar => getComputedStyle(bar).backgroundColor") != light
    assert contrast(page) > 4.5


def contrast(page):
    """The contrast of the bar's quietest text on its background, as WCAG counts it."""
    return page.evaluate(
        """() => {
          const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const luminance = () => {
            const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3)
              .map((part) => part / 255)
              .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const fill = (colour) => { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); return luminance(); };
          const back = fill(getComputedStyle(document.querySelector(".zq")).backgroundColor);
          const text = fill(getComputedStyle(document.querySelector(".zq-side")).color);
          return (Math.max(back, text) + 0.05) / (Math.min(back, text) + 0.05);
        }"""
    )


def test_says_durations_as_python_does(page, space):
    bar = visit(page, space)
    for left_s in (1, 59.9, 60, 61, 299.2, 3600, 3725, 7384):
        show(page, exact(left_s, base_s=10_000, runs_left=None, price_s=left_s / 2).as_value())
        expect(bar).to_contain_text(f"{words.duration(left_s)} left")
        expect(bar).to_contain_text(f"about {words.duration(left_s / 2, up=True)}")


def test_hostile_values_are_text_or_nothing(page, space):
    bar = visit(page, space)
    page.evaluate("window.hacked = 0")
    value = STATES["used"].as_value()
    show(page, {name: HOSTILE for name in value})
    expect(bar).to_have_attribute("data-kind", "unknown")
    show(page, value | {"plan": HOSTILE, "last": {"used_s": HOSTILE}, "resets_at": HOSTILE})
    expect(bar).to_have_attribute("data-kind", "used")
    assert page.evaluate("window.hacked") == 0
    assert "<img" not in bar.inner_text()


def test_a_reset_that_passes_makes_the_day_fresh(page, space):
    bar = visit(page, space)
    now = datetime.now(timezone.utc)
    show(page, exact(100, resets_at=now + timedelta(seconds=2), signed_in=False, as_of=now).as_value())
    expect(bar).to_have_attribute("data-kind", "used")
    expect(bar).to_have_attribute("data-kind", "fresh")
    expect(bar).to_contain_text("5 min and 5 runs left")


def test_nobody_signed_in_then_the_keyboard_leads_to_sign_in(page, space, the_hub):
    bar = visit(page, space + "?x=1&y=2")
    expect(bar).to_have_attribute("data-kind", "unknown")
    assert the_hub.tokens == []
    link = page.get_by_role("link", name="Sign in with Hugging Face")
    for _ in range(6):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    expect(link).to_be_focused()
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    assert link.get_attribute("href") == "/login/huggingface?_target_url=%2F%3Fx%3D1%26y%3D2"
    routes = page.request.get(space + "login/callback", max_redirects=0)
    assert routes.status != 404


def test_signed_in_follows_what_runs(page, space, the_hub):
    sign_in(page)
    runs = {"used": 1, "limit": 8, "remaining": 7, "resetsAt": LATER.isoformat()}
    the_hub.answer = {"base": 300, "current": 250, "resetsAt": LATER.isoformat(), "runs": runs}
    bar = visit(page, space)
    expect(bar).to_contain_text("4 min 10 s and 7 runs left")
    expect(bar).to_contain_text("Next run: about 15 s")
    expect(page.locator(".zq-sign-in")).to_be_hidden()
    page.locator("#settings input").fill("200")
    expect(bar).to_have_attribute("data-kind", "low")
    the_hub.answer = the_hub.answer | {"current": 238, "runs": runs | {"remaining": 6}}
    page.get_by_role("button", name="Run").click()
    expect(bar).to_contain_text("3 min 58 s and 6 runs left")
    expect(bar).to_contain_text("Last run: used 12 s")
    expect(bar).to_contain_text("Next run needs 5 min: up to 3 min 58 s fits")
    the_hub.status = 503
    page.get_by_role("button", name="Run").click()
    expect(bar).to_contain_text("Up to 3 min 58 s and 5 runs left")
    assert set(the_hub.tokens) == {"Bearer hf_oauth_visitor"}
    assert "hf_oauth_visitor" not in page.content()


def test_the_outer_page_tells_the_plan_and_python_keeps_it(page, space, the_hub):
    the_hub.space, the_hub.plan = space, {"user": "free"}
    page.goto(the_hub.url + "/outer")
    frame = page.frame_locator("iframe")
    bar = frame.locator("#quota .zq")
    expect(bar).to_contain_text("Up to 5 min and 8 runs left")
    expect(frame.locator(".zq-sign-in")).to_be_visible()
    frame.get_by_role("button", name="Run").click()
    expect(frame.locator("#plan textarea")).to_have_value("free")
    expect(bar).to_contain_text("Up to 5 min and 7 runs left")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"user": "pro", "org": "enterprise"}, "Up to 1 h left"),
        ({"user": "free", "org": "academia"}, "GPU time left is not known"),
        ({"user": HOSTILE}, "GPU time left is not known"),
    ],
)
def test_plans_of_the_outer_page(page, space, the_hub, plan, said):
    the_hub.space, the_hub.plan = space, plan
    page.goto(the_hub.url + "/outer")
    expect(page.frame_locator("iframe").locator("#quota .zq")).to_contain_text(said)


def test_off_zero_gpu_it_is_not_there(page, monkeypatch):
    for name in ("SPACES_ZERO_GPU", "SYSTEM", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    with gr.Blocks(analytics_enabled=False) as demo:
        quota = ZeroQuota(elem_id="quota")
        run = gr.Button("Run")
        out = gr.Textbox(elem_id="out")
        event = run.click(lambda: "done", None, out)
        assert quota.follow(event, price=lambda: 3) is event
    page.goto(launch(demo))
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#out textarea")).to_have_value("done")
    assert page.locator(".zq").count() == 0
    demo.close(verbose=False)
