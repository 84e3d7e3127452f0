"""`@zerokit.gpu` functions of an author beside a chat, with the real worker behind them: results, Stop, progress."""

import time

import pytest
from chat_world import APPS, babbling_model, until, world
from gradio_client.exceptions import AppError


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    model = babbling_model(tmp_path_factory.mktemp("model"))
    with world(APPS / "functions.py", env={"CHAT_MODEL": str(model)}, gpus=2, strict=True) as space:
        yield space


@pytest.fixture
def app(space):
    """The app on a new day; whatever a test did to it, it works afterwards and holds nothing."""
    space.new_day()
    yield space
    space.new_day()
    assert call(space, "count", 2, 0.0) == [0, 1]
    space.settle()
    assert len(space.z.workers) <= 2


def call(space, name, *args, visitor=None):
    return space.client(visitor).predict(*args, api_name=f"/{name}")


def test_tensors_of_the_gpu_come_back_on_the_cpu(app):
    assert call(app, "find") == {
        "devices": ["cpu", "cpu"],
        "values": [[0.0, 2.0, 4.0, 6.0], [1.0, 2.0, 3.0, 4.0]],
    }


def test_a_result_that_cannot_leave_the_gpu(app):
    with pytest.raises(AppError) as caught:
        call(app, "handle")
    assert caught.value.title == "The result cannot be shown"
    assert "the log has the details" in caught.value.message
    assert "cannot pickle '_thread.lock' object" in app.app.log()


def test_errors_of_the_function(app):
    with pytest.raises(AppError) as caught:
        call(app, "fail", "author")
    assert (caught.value.title, caught.value.message) == ("Wrong colour", "Too <b>blue</b>.")
    with pytest.raises(AppError) as caught:
        call(app, "fail", "unforeseen")
    assert caught.value.title == "The GPU call failed"
    assert "secret" not in caught.value.message
    assert "KeyError: '/secret/path'" in app.app.log()


def test_all_functions_and_the_chat_share_workers(app):
    call(app, "count", 1, 0.0)
    text = app.client().predict("hello", None, api_name="/chat")["text"]
    call(app, "find")
    assert text
    assert len({c.task for c in app.z.calls}) == 1
    assert len({c.pids for c in app.z.calls[-3:]}) == 1


def test_progress_reaches_the_page(app):
    job = app.client().submit(10, 0.2, api_name="/count")
    seen = []
    while not job.done():
        status = job.status()
        seen += [unit.desc for unit in status.progress_data or [] if unit.desc]
        time.sleep(0.05)
    assert job.result() == list(range(10))
    assert any(words.startswith("Counting") for words in seen)


def test_a_generator_gives_its_last_value_or_all_of_them(app):
    whole = app.client().submit(5, 0.3, api_name="/grow")
    assert whole.result(timeout=30) == "xxxxx"
    assert whole.outputs() in ([], ["xxxxx"])
    shown = app.client().submit(5, 0.3, api_name="/in_sight")
    assert shown.result(timeout=30) == "xxxxx"
    assert len(shown.outputs()) > 2


def test_what_was_made_survives_the_worker(app):
    app.z.set_faults("kill:1.2@1")
    made = call(app, "count", 100, 0.1)
    assert 0 < len(made) < 100
    assert made == list(range(len(made)))


@pytest.mark.parametrize("name", ["count", "grow", "in_sight"])
def test_cancelling_frees_the_gpu(app, name):
    job = app.client().submit(100, 0.1, api_name=f"/{name}")
    until(lambda: app.z.leases)
    time.sleep(0.5)
    job.cancel()
    assert until(lambda: app.z.leases == []) < 3
    assert app.last.used_s < 5


def test_two_visitors_are_served_at_once_on_two_gpus(app):
    jobs = [app.client(name).submit(8, 0.25, api_name="/count") for name in ("free:ann", "free:bob")]
    until(lambda: len(app.z.leases) == 2)
    assert [job.result(timeout=30) for job in jobs] == [list(range(8))] * 2
    assert {c.gpu for c in app.z.calls[-2:]} == {0, 1}
    assert {c.visitor for c in app.z.calls[-2:]} == {"free:ann", "free:bob"}


def test_an_app_whose_model_cannot_be_used_says_so_and_stops(app, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(RuntimeError) as caught:
        app.z.run(APPS / "chat.py", env={"CHAT_MODEL": str(tmp_path / "model")})
    assert "NoWeights" in str(caught.value).splitlines()[-1]
    assert "safetensors" in str(caught.value).splitlines()[-1]
