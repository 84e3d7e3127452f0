"""The figures and the page of `zerokit bench`, from visits that are made up."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from zerokit.bench import figures, page
from zerokit.bench.run import Load, Measured, Visit
from zerokit.cli.bench import COLUMNS, cells
from zerokit.emulator import Call


def call(n, reserved_s=6, charged_s=3.0, outcome="done", queued_s=0.0, cold=False, visitor="free:a"):
    return Call(
        n=n, app="app", task=1, visitor=visitor, size="large", sent_s=reserved_s, declared_s=reserved_s,
        reserved_s=reserved_s, granted_s=reserved_s, queued_s=queued_s, cold=cold, used_s=charged_s,
        charged_s=charged_s, outcome=outcome, pids=(4242,),
    )  # fmt: skip


def visited(*visits, tiers=("free",)):
    return Measured("app.py", "/chat", Load(tiers), 60.0, visits)


def served(*calls, tier="free"):
    return Visit(tier, "served", 4.0, calls)


def test_what_each_plan_got():
    measured = visited(
        served(call(1, 6, 3.0, queued_s=2.0)),
        served(call(2, 9, 5.0)),
        Visit("free", "refused", 0.1, (call(3, 90, 0.0, "refused:seconds", cold=None),), "No."),
        Visit("free", "killed", 6.0, (call(4, 6, 6.5, "killed"),), "Aborted."),
        Visit("pro", "failed", 1.0, (call(5, 6, 1.0, "failed"),), "Oh."),
        tiers=("free", "pro"),
    )
    free, pro = figures.tiers(measured)
    assert (free.asked, free.served, free.refused, free.killed, free.runs) == (4, 2, 1, 1, 3)
    assert (free.reserved_s, free.used_s, free.gpu_s) == (7.5, 5.0, 14.5)
    assert (free.waited_s, free.longest_wait_s) == (0.67, 2.0)
    assert (pro.asked, pro.failed, pro.served) == (1, 1, 0)
    assert len(cells(free)) == len(COLUMNS)


@pytest.mark.parametrize(
    ("reserved_s", "charged_s", "tier", "answers", "limit", "later", "limit_later"),
    [
        (6, 3.0, "free", 8, "runs", 8, "runs"),
        (6, 3.0, "anonymous", 2, "runs", 2, "runs"),
        (90, 30.0, "free", 8, "runs", 1, "seconds"),  # 100 s left: 90 fit, then 70 are left
        (90, 50.0, "free", 5, "seconds", 1, "seconds"),  # 300, 250, 200, 150, 100: after five 50 are left
        (180, 5.0, "anonymous", 0, "what one call may reserve", 0, "what one call may reserve"),
        (6, 3.0, "pro", 799, "seconds", 265, "seconds"),  # 2400 - 3n < 6 from n = 799 on
        (2, 0.0, "pro", figures.LONGEST_DAY, "", figures.LONGEST_DAY, ""),
    ],
)
def test_what_a_day_holds(reserved_s, charged_s, tier, answers, limit, later, limit_later):
    (day,) = figures.days(visited(served(call(1, reserved_s, charged_s), tier=tier), tiers=(tier,)))
    assert (day.answers, day.limit) == (answers, limit)
    assert (day.answers_later, day.limit_later) == (later, limit_later)


def test_an_answer_of_two_calls_costs_two_runs():
    (day,) = figures.days(visited(served(call(1), call(2))))
    assert (day.answers, day.limit) == (4, "runs")


def test_what_was_killed_costs_a_run_and_is_no_answer():
    killed = Visit("free", "killed", 4.0, (call(2, outcome="killed"),), "Aborted.")
    (day,) = figures.days(visited(served(call(1)), killed))
    assert (day.answers, day.limit) == (4, "runs")


def test_nothing_is_said_of_days_where_no_call_ran():
    refused = Visit("free", "refused", 0.1, (call(1, cold=None, outcome="refused:cap"),), "No.")
    assert figures.days(visited(refused)) == []
    assert figures.as_dict(visited(refused))["days"] == []


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ("free", "A free visitor gets 8 answers a day (the limit is runs), and 8 after the first 3 min 20 s"),
        ("anonymous", "An anonymous visitor gets 2 answers"),
        ("enterprise", "An Enterprise visitor gets 1,199 answers a day before credits are used (the limit is seconds)"),
    ],
)
def test_the_sentence_for_an_author(tier, said):
    told = figures.as_dict(visited(served(call(1), tier=tier), tiers=(tier,)))
    assert told["days"][0]["sentence"].startswith(said)
    assert "pids" not in told["calls"][0]


class Seen(HTMLParser):
    """The tags of a page, and whether all are closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_whole_and_fetches_nothing_and_runs_nothing():
    nasty = '<script>alert("x")</script>'
    visits = [served(call(n, 6, 3.0, visitor=nasty)) for n in range(300)]
    text = page.page(Measured(nasty, nasty, Load(("free",)), 60.0, tuple(visits)))
    seen = Seen(text)
    assert seen.open == []
    assert "script" not in {tag for tag, _ in seen.tags}
    assert not [attrs for _, attrs in seen.tags if {"src", "href", "onload"} & attrs.keys()]
    assert not re.search(r"url\(|@import|https?:", text)
    drawn = [attrs["class"] for tag, attrs in seen.tags if tag == "rect"]
    assert drawn.count("used") == drawn.count("reserved") == page.MOST_BARS
    assert "prefers-color-scheme: dark" in text
    assert "A free visitor gets 8 answers a day" in text


def test_the_page_of_a_load_without_a_call():
    text = page.page(visited(Visit("free", "failed", 0.1, (), "Oh.")))
    assert Seen(text).open == []
    assert text.count("No call ran.") == 2
