"""The emulator's scheduler with a clock of the test's own: no server, no process, no waiting."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerokit.emulator.clock import Clock
from zerokit.emulator.faults import DEFAULT_S, KINDS, Fault, parse_all
from zerokit.emulator.leases import Ask, Lease, Refusal, Ticket
from zerokit.emulator.records import Recording
from zerokit.emulator.scheduler import KILL_GRACE_S, LOST_AFTER_S, Scheduler
from zerokit.emulator.visitors import SPACE, Visitors, plan_of
from zerokit.quota.platform import PLANS, QUEUE_TIMEOUT_S, WINDOW_S


@dataclass
class World:
    """A scheduler, its visitors, and processes that exist in a set only."""

    gpus: int = 1
    speed: float = 1.0
    concurrency: int | None = None
    faults: tuple[str, ...] = ()
    now: float = 0.0
    processes: set[int] = field(default_factory=set)
    killed: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.clock = Clock(self.speed, calendar=lambda: 1_000_000.0, real=lambda: self.now)
        self.visitors = Visitors()
        self.recording = Recording()
        self.scheduler = Scheduler(
            clock=self.clock,
            recording=self.recording,
            uuids=[f"GPU-{i}" for i in range(self.gpus)],
            kill=self.kill,
            alive=self.processes.__contains__,
            concurrency=self.concurrency,
            faults=parse_all(self.faults),
        )

    def kill(self, pid):
        self.killed.append(pid)
        self.processes.discard(pid)

    def ask(self, visitor="free", sent_s=15, *, app="app", task=1, size="large"):
        return self.scheduler.schedule(Ask(app, task, self.visitors.account(visitor), sent_s, size))

    def start(self, *args, pid=100, **kwargs):
        """A call whose worker has reported itself, as a cold one does."""
        lease = self.ask(*args, **kwargs)
        assert isinstance(lease, Lease)
        if not lease.idle:
            self.processes.add(pid)
            assert self.scheduler.allow(lease.token, pid)
        return lease

    def run(self, *args, seconds=1.0, **kwargs):
        lease = self.start(*args, **kwargs)
        self.now += seconds
        assert self.scheduler.release(lease.token, fail=False) == "released"
        return self.recording.calls[-1]

    def left(self, visitor="free"):
        return self.visitors.account(visitor).left_s(self.clock.calendar())


def test_what_was_used_is_charged_and_what_was_reserved_is_compared():
    world = World()
    call = world.run(sent_s=90, seconds=12.34)
    assert (call.declared_s, call.reserved_s, call.granted_s) == (60, 90, 90)
    assert (call.used_s, call.charged_s, call.outcome) == (12.34, 12.3, "done")
    assert world.left() == pytest.approx(300 - 12.3)
    refusal = world.ask(sent_s=288)
    assert isinstance(refusal, Refusal)
    assert (refusal.why, refusal.left_s, refusal.wait_s) == ("seconds", 287, WINDOW_S - 12)
    assert isinstance(world.ask(sent_s=287), Lease)


def test_xlarge_is_sent_as_declared_and_costs_double():
    world = World()
    call = world.run(sent_s=60, size="xlarge", seconds=10)
    assert (call.declared_s, call.reserved_s, call.granted_s, call.charged_s) == (60, 120, 60, 20)


@pytest.mark.parametrize(("visitor", "runs"), [("anonymous", 2), ("free", 8)])
def test_runs_are_counted_when_a_gpu_is_given(visitor, runs):
    world = World()
    for _ in range(runs):
        world.run(visitor, seconds=0.1)
    refusal = world.ask(visitor)
    assert isinstance(refusal, Refusal)
    assert (refusal.why, refusal.wait_s) == ("runs", 0)
    assert world.visitors.account(visitor).runs_used == runs


def test_a_refusal_costs_no_run_and_opens_no_window():
    world = World()
    assert isinstance(world.ask("anonymous", sent_s=121), Refusal)
    account = world.visitors.account("anonymous")
    assert (account.runs_used, account.window_start) == (0, None)
    assert world.recording.calls[-1].refused == "cap"


def test_over_the_cap_is_refused_for_good():
    refusal = World().ask("free", sent_s=301)
    assert isinstance(refusal, Refusal)
    assert (refusal.why, refusal.wait_s < 0) == ("cap", True)


def test_the_day_begins_at_the_first_use_and_ends_24_hours_later():
    world = World()
    world.clock.advance(5000)
    world.run(seconds=100, sent_s=150)
    resets_at = world.visitors.account("free").resets_at(world.clock.calendar())
    assert resets_at == 1_000_000 + 5000 + WINDOW_S
    world.clock.advance(WINDOW_S - 101)
    assert world.left() == 200
    world.clock.advance(1)
    assert world.left() == 300
    assert world.visitors.account("free").resets_at(world.clock.calendar()) is None


def test_speed_hurries_the_calendar_and_not_the_gpu():
    world = World(speed=1000)
    call = world.run(seconds=10)
    assert call.used_s == 10
    world.now += WINDOW_S / 1000
    assert world.left() == 300


def test_beyond_the_base_credits_pay():
    world = World()
    account = world.visitors.account("pro")
    account.set_left(5, world.clock.calendar())
    world.run("pro", sent_s=60, seconds=20)
    assert (account.left_s(world.clock.calendar()), account.overquota_s) == (0, 15)


def test_reservations_that_run_count_against_the_next():
    world = World(gpus=4)
    for pid in range(2):
        world.start(sent_s=140, pid=pid + 100)
    refusal = world.ask(sent_s=21)
    assert isinstance(refusal, Refusal)
    assert refusal.left_s == 20


def test_the_app_itself_is_billed_without_a_visitor():
    world = World()
    refusal = world.ask(SPACE, sent_s=90)
    assert isinstance(refusal, Refusal)
    assert refusal.why == "seconds"


def test_the_second_call_is_warm_and_goes_where_the_worker_is():
    world = World(gpus=3)
    first = world.run(task=7, pid=100)
    world.run(task=8, pid=101)
    assert (first.cold, first.gpu) == (True, 0)
    again = world.ask(task=7)
    assert isinstance(again, Lease)
    assert (again.idle, again.gpu.index, again.pid) == (True, 0, 100)


def test_a_gpu_is_paid_for_from_when_the_worker_before_has_gone():
    world = World()
    world.run(task=1, pid=100)
    lease = world.ask(task=2)
    assert (lease.gpu.leaving, world.killed) == (100, [100])
    world.now += 0.7
    world.scheduler.begin(lease)
    assert lease.gpu.leaving is None
    world.now += 2.0
    world.processes.add(101)
    assert world.scheduler.allow(lease.token, 101)
    assert world.scheduler.release(lease.token, fail=False) == "released"
    assert world.recording.calls[-1].used_s == pytest.approx(2.0)


def test_another_task_takes_an_empty_gpu_first_and_else_evicts_the_one_idle_longest():
    world = World(gpus=2)
    world.run(task=1, pid=100)
    world.run(task=2, pid=101)
    assert world.killed == []
    third = world.start(task=3, pid=102)
    assert (third.gpu.index, third.idle, world.killed) == (0, False, [100])


def test_a_dead_worker_is_not_warm():
    world = World()
    world.run(pid=100)
    world.processes.clear()
    assert not world.start(pid=101).idle


def test_a_failed_call_is_charged_and_leaves_no_warm_worker():
    world = World()
    lease = world.start(pid=100)
    world.now += 3
    assert world.scheduler.release(lease.token, fail=True) == "released"
    call = world.recording.calls[-1]
    assert (call.outcome, call.charged_s, world.killed) == ("failed", 3, [100])
    assert world.visitors.account("free").runs_used == 1


def test_a_gpu_that_no_worker_took_was_not_used():
    world = World()
    lease = world.ask()
    assert isinstance(lease, Lease)
    assert world.scheduler.release(lease.token, fail=False) == "unused"
    assert world.scheduler.release(lease.token, fail=False) == "unknown"
    assert not world.scheduler.allow(lease.token, 100)


def test_the_kill_at_the_deadline():
    world = World()
    lease = world.start(sent_s=15, pid=100)
    world.now += 15 + KILL_GRACE_S - 0.01
    world.scheduler.tick()
    assert world.killed == []
    world.now += 0.01
    world.scheduler.tick()
    call = world.recording.calls[-1]
    assert (call.outcome, call.charged_s, world.killed) == ("killed", 15.5, [100])
    assert world.scheduler.release(lease.token, fail=True) == "unknown"
    assert world.scheduler.leases == []


def test_a_worker_that_vanished_frees_its_gpu():
    world = World()
    world.start(pid=100)
    world.processes.clear()
    world.scheduler.tick()
    world.now += LOST_AFTER_S
    world.scheduler.tick()
    assert world.recording.calls[-1].outcome == "lost"
    assert world.scheduler.workers == []


def test_the_queue_serves_plan_then_length_then_what_is_left():
    world = World(gpus=1)
    busy = world.start("enterprise", sent_s=15, pid=100)
    tickets = {
        name: world.ask(visitor, sent_s=sent_s)
        for name, visitor, sent_s in [
            ("late", "anonymous", 15),
            ("poor", "free:poor", 15),
            ("rich", "free:rich", 15),
            ("long", "pro", 60),
            ("short", "team", 15),
        ]
    }
    world.visitors.account("free:poor").set_left(100, world.clock.calendar())
    served, holder = [], busy
    for _ in tickets:
        world.scheduler.release(holder.token, fail=False)
        world.now += 0.1
        world.scheduler.tick()
        (name,) = [n for n, t in tickets.items() if isinstance(t, Ticket) and t.lease is not None and n not in served]
        served.append(name)
        holder = tickets[name].lease
    assert served == ["short", "long", "rich", "poor", "late"]


def test_waiting_ends_after_60_seconds_of_the_calendar():
    world = World(speed=10)
    world.start("pro", sent_s=60)
    ticket = world.ask("free")
    assert isinstance(ticket, Ticket)
    world.now += QUEUE_TIMEOUT_S / 10
    world.scheduler.tick()
    assert ticket.failed
    assert world.recording.calls[-1].outcome == "queue-timeout"
    assert world.visitors.account("free").runs_used == 0


def test_whoever_leaves_the_queue_gives_back_what_was_just_granted():
    world = World()
    lease = world.start("pro")
    ticket = world.ask()
    assert isinstance(ticket, Ticket)
    world.scheduler.release(lease.token, fail=False)
    world.scheduler.tick()
    assert ticket.lease is not None
    world.scheduler.withdraw(ticket)
    assert (world.scheduler.leases, world.recording.calls[-1].outcome) == ([], "withdrawn")


def test_one_space_may_be_held_to_fewer_gpus():
    world = World(gpus=2, concurrency=1)
    world.start(app="one", pid=100)
    ticket = world.ask(app="one")
    assert isinstance(ticket, Ticket)
    assert ticket.reason == "concurrency"
    assert isinstance(world.ask(app="two"), Lease)


def test_forgetting_an_app_leaves_nothing_of_it():
    world = World(gpus=2)
    world.run(app="one", pid=100)
    world.start(app="one", task=2, pid=101)
    world.start(app="two", pid=102)
    waiting = world.ask(app="one", task=3)
    world.scheduler.forget("one")
    assert isinstance(waiting, Ticket)
    assert [lease.ask.app for lease in world.scheduler.leases] == ["two"]
    assert (world.scheduler.queue, world.scheduler.workers) == ([], [102])


@pytest.mark.parametrize("why", ["seconds", "runs", "cap", "credits", "401", "503", "refused"])
def test_a_refusal_on_order(why):
    world = World(faults=(f"{why}@2",))
    world.run()
    refusal = world.ask()
    assert isinstance(refusal, Refusal)
    assert (refusal.why, world.recording.calls[-1].fault) == (why, why)
    world.run()


def test_worker_faults_go_with_the_grant():
    world = World(faults=("kill:0.7@1", "slow"))
    first = world.start(pid=100)
    assert str(first.worker_fault) == "kill:0.7"
    world.scheduler.release(first.token, fail=True)
    assert str(world.start(pid=101).worker_fault) == "slow:0.05"


def test_new_faults_count_from_where_they_were_set():
    world = World()
    world.run()
    world.scheduler.set_faults(parse_all(["oom@1"]))
    assert str(world.start(pid=101).worker_fault) == "oom"


@pytest.mark.parametrize(
    ("text", "first", "last"), [("oom", 1, None), ("oom@3", 3, 3), ("oom@3+", 3, None), ("kill:0.7@3", 3, 3)]
)
def test_fault_forms(text, first, last):
    fault = Fault.parse(text)
    assert (fault.first, fault.last) == (first, last)
    assert [n for n in range(1, 6) if fault.hits(n)] == list(range(first, (last or 5) + 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("omm", "Did you mean 'oom'?"),
        ("oom@0", "counted from 1"),
        ("oom@", "like oom@3"),
        ("oom@-1", "like oom@3"),
        ("", "like oom@3"),
        ("oom:3", "takes no seconds"),
        ("kill:soon", "not a number"),
        ("kill:nan", "from 0 to 3600"),
        ("kill:-1", "from 0 to 3600"),
    ],
)
def test_a_fault_that_makes_no_sense(text, says):
    with pytest.raises(ValueError, match=says):
        Fault.parse(text)


@given(st.sampled_from(KINDS), st.floats(0, 3600))
def test_a_fault_survives_the_way_to_the_worker(kind, seconds):
    text = f"{kind}:{seconds!r}" if kind in DEFAULT_S else kind
    assert Fault.parse(str(Fault.parse(text))).kind == kind


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*PLANS, SPACE]),
            st.integers(0, 4000),
            st.sampled_from(["large", "xlarge"]),
            st.floats(0, 500),
        ),
        max_size=30,
    )
)
def test_quota_is_never_negative_and_every_call_is_settled(calls):
    world = World()
    for visitor, sent_s, size, seconds in calls:
        if isinstance(lease := world.ask(visitor, sent_s, size=size), Lease):
            world.processes.add(100)
            world.scheduler.allow(lease.token, 100)
            world.now += seconds
            world.scheduler.tick()
            world.scheduler.release(lease.token, fail=False)
    assert len(world.recording.calls) == len(calls)
    for name in (*PLANS, SPACE):
        account = world.visitors.account(name)
        assert account.left_s(world.clock.calendar()) >= 0
        assert account.pending_s == 0
        assert account.plan.runs is None or account.runs_used <= account.plan.runs


def test_tokens_are_known_to_their_emulator_only():
    ours, others = Visitors(), Visitors()
    token = ours.ip_token("free:ann")
    account = ours.by_ip_token(token)
    assert account is not None
    assert (account.name, account.plan.name) == ("free:ann", "free")
    assert others.by_ip_token(token) is None
    for bad in ("", "a.b", "a.b.c", token[:-1], token + "x", token.replace(".", ""), "ä.ö.ü"):
        assert ours.by_ip_token(bad) is None
    assert ours.by_access_token(ours.access_token("free:ann")) is account
    assert ours.by_access_token(ours.access_token("anonymous")) is None


@pytest.mark.parametrize("name", ["fre", "free:", "free:a b", "free:../x", "", "spaces"])
def test_visitors_that_cannot_be(name):
    with pytest.raises(ValueError, match=r"There is no plan|own name"):
        plan_of(name)


def test_what_cannot_be_left():
    account = Visitors().account("free")
    with pytest.raises(ValueError, match="0 to 300 s"):
        account.set_left(301, 0)
    with pytest.raises(ValueError, match="0 to 8 runs"):
        account.set_runs(9, 0)
    with pytest.raises(ValueError, match="no limit"):
        Visitors().account("pro").set_runs(1, 0)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_the_calendar_runs_forward(speed):
    with pytest.raises(ValueError, match="above 0"):
        Clock(speed)
    with pytest.raises(ValueError, match="forward"):
        Clock().advance(-1)


def test_a_recording_is_one_json_object_a_line(tmp_path):
    recording = Recording(tmp_path / "new" / "calls.jsonl")
    world = World()
    world.run()
    recording.call(world.recording.calls[0])
    recording.line("unknown", method="PUT", path="/x")
    recording.close()
    lines = [json.loads(line) for line in (tmp_path / "new" / "calls.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["call", "unknown"]
    assert (lines[0]["visitor"], lines[0]["outcome"]) == ("free", "done")
