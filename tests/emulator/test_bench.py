"""`zerokit bench` on an app written without ZeroKit: one small run, with its table, its page and its reasons."""

from __future__ import annotations

import json
from pathlib import Path

from zerokit import cli
from zerokit.bench import figures, page
from zerokit.bench.run import Load, measure
from zerokit.quota.platform import PLANS

CHAT = Path(__file__).parent / "apps" / "chat.py"


def test_a_static_duration_of_120_seconds_shuts_out_who_is_not_signed_in():
    told = []
    load = Load(("anonymous", "free"), visitors=1, minutes=0.05, pause_s=0.2)
    measured = measure(CHAT, load, told=told.append)
    anonymous, free = figures.tiers(measured)
    assert measured.api == "/chat"
    assert "['message']" in told[0]
    assert (anonymous.served, anonymous.refused, anonymous.runs) == (0, anonymous.asked, 0)
    assert 1 <= free.served <= free.runs
    assert free.reserved_s == anonymous.reserved_s == 180
    assert free.gpu_s < 60
    day = {day.tier: day for day in figures.days(measured)}
    assert (day["free"].answers, day["free"].limit) == (8, "runs")
    assert (day["anonymous"].answers, day["anonymous"].limit) == (0, "what one call may reserve")
    assert day["free"].sentence(PLANS["free"]) in page.page(measured)


def test_the_command_prints_all_figures_and_what_a_visitor_was_told(tmp_path, capsys):
    report = tmp_path / "report.html"
    asked = ["--api", "chat", "--input", '{"message": "Hello"}', "--tier", "free", "--visitors", "1", "--minutes", "0"]
    cli.app(["bench", str(CHAT), *asked, "--json", "--report", str(report)], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["tiers"][0]["served"] == 1
    assert [call["reserved_s"] for call in told["calls"]] == [180]
    assert "reserved 180 s" in report.read_text("utf-8")
