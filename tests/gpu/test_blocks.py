"""The blocks on the card, with the models that come with ZeroKit: the apps of `zerokit demo`, asked as programs do."""

from __future__ import annotations

import pytest
from card_world import APPS, DEMOS, Apps, until
from PIL import Image, ImageChops, ImageStat

from zerokit.emulator import ZeroGPU

FILES = [*(DEMOS / f"{name}.py" for name in ("chat", "diffusion", "lora_text", "lora_image")), APPS / "babbling.py"]
QUESTION = "What is ZeroGPU?"
PROMPT = "a red circle on a white background"


@pytest.fixture(scope="module")
def apps(scratch):
    with ZeroGPU("pro", gpus=len(FILES), record=scratch / "calls.jsonl") as z:
        apps = Apps(z, FILES, scratch)
        yield apps
        apps.close()


def pictures(made):
    return [Image.open(item["image"]).convert("RGB") for item in made[0]]


def differ(one, other):
    return ImageChops.difference(one, other).getbbox() is not None


def test_a_chat_answers(apps):
    made = apps.ask("chat", "chat", QUESTION, temperature=0)
    assert (made["ended"], apps.last.cold) == ("complete", True)
    assert "GPU" in made["text"]
    again = apps.ask("chat", "chat", QUESTION, temperature=0)
    assert (again["text"], apps.last.cold, apps.last.outcome) == (made["text"], False, "done")


def test_a_chat_that_does_not_end_is_cut_in_time_and_kept(apps):
    made = apps.ask("babbling", "chat", "hello", max_new_tokens=4)
    assert made["ended"] == "length"
    apps.z.set_left("free:late", 3)
    made = apps.ask("babbling", "chat", "hello", visitor="free:late", max_new_tokens=32_000)
    assert (made["ended"], apps.last.outcome) == ("deadline", "done")
    assert made["new_tokens"] > 10
    assert apps.last.used_s < apps.last.granted_s
    assert apps.ask("babbling", "chat", "hello", max_new_tokens=4)["ended"] == "length"
    assert apps.last.cold is False


def test_a_chat_is_stopped_and_its_card_is_free(apps):
    apps.ask("babbling", "chat", "hello", max_new_tokens=4)
    job = apps.client("babbling").submit("hello", max_new_tokens=32_000, api_name="/chat")
    until(lambda: apps.z.leases)
    job.cancel()
    assert until(lambda: apps.z.leases == []) < 3
    assert apps.ask("babbling", "chat", "hello", max_new_tokens=4)["ended"] == "length"


def test_pictures_are_made_and_made_again(apps):
    one = apps.ask("diffusion", "generate", PROMPT, seed=7, images=2)
    assert (one[1]["ended"], one[1]["seeds"], apps.last.outcome) == ("complete", [7, 8], "done")
    first, second = pictures(one)
    red = ImageStat.Stat(first).mean
    assert max(ImageStat.Stat(first).stddev) > 20
    assert red[0] > max(red[1:]) + 5
    assert differ(first, second)
    again = pictures(apps.ask("diffusion", "generate", PROMPT, seed=7, images=2))
    assert not differ(first, again[0])
    assert apps.last.cold is False


def test_adapters_of_a_chat_act_on_the_card_and_leave_no_trace(apps):
    plain = apps.ask("lora_text", "chat", QUESTION, temperature=0, adapters=[])["text"]
    pirate = apps.ask("lora_text", "chat", QUESTION, temperature=0, adapters=["pirate"])["text"]
    assert pirate != plain
    assert apps.ask("lora_text", "chat", QUESTION, temperature=0, adapters=[])["text"] == plain
    assert apps.ask("chat", "chat", QUESTION, temperature=0)["text"] == plain
    made = apps.ask("lora_text", "compare", QUESTION, temperature=0)
    assert [answer["adapter"] for answer in made["answers"]] == ["", "pirate", "terse"]


def test_adapters_of_pictures_act_on_the_card_and_leave_no_trace(apps):
    (plain,) = pictures(apps.ask("lora_image", "generate", PROMPT, seed=7, adapters=[]))
    (outline,) = pictures(apps.ask("lora_image", "generate", PROMPT, seed=7, adapters=["outline"]))
    assert differ(plain, outline)
    (again,) = pictures(apps.ask("lora_image", "generate", PROMPT, seed=7, adapters=[]))
    assert not differ(plain, again)
