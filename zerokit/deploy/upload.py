"""The steps of a deployment, in words and done: what --dry-run prints is this same list."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from huggingface_hub import CommitOperationAdd, HfApi

from zerokit.deploy import errors
from zerokit.deploy.files import size_of
from zerokit.deploy.hub import NO_TOKEN, asking, shown
from zerokit.deploy.leaks import MIN_VALUE
from zerokit.deploy.plan import UNPAID, Plan, named_files
from zerokit.deploy.smoke import Visit
from zerokit.deploy.wait import SLEEPING, Say, until_running
from zerokit.quota.platform import ZERO_GPU
from zerokit.quota.words import duration

MAX_NAMED = 12


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Args:
        text: what, as a command.
        past: what was done, for "done before that".
        act: does it.
        details: lines below it; a dry run shows all, a real one MAX_NAMED.
    """

    text: str
    past: str
    act: Callable[[], None]
    details: tuple[str, ...] = ()


class Deployment:
    """A plan that is carried out step by step.

    Args:
        plan: what differs.
        api: the Hub; None: the steps can be read, not done.
        say: takes each line about what happens.
        timeout_s: how long to wait until the Space runs.
    """

    def __init__(self, plan: Plan, api: HfApi | None, say: Say, *, timeout_s: float) -> None:
        self.plan = plan
        self._api = api
        self._say = say
        self._timeout_s = timeout_s
        self._name = plan.wanted.space
        self._is_asleep = False
        self.done: list[str] = []

    def steps(self) -> list[Step]:
        """All that is to be done, in order."""
        plan, wanted = self.plan, self.plan.wanted
        steps = []
        if plan.is_new:
            kind = "private Space" if wanted.private else "Space"
            text = f"Make the {kind} {self._name} on {wanted.hardware}{self._sleep()}"
            steps.append(Step(text, "made the Space", self._make))
        for name in plan.variables:
            steps.append(Step(f"Set the variable {name}", f"set {name}", partial(self._set_variable, name)))
        there = plan.space.secrets if plan.space else frozenset()
        for name in wanted.secrets:
            text = f"Set the secret {name}{' again' if name in there else ''}"
            steps.append(Step(text, f"set {name}", partial(self._set_secret, name)))
        if plan.files:
            size = size_of(sum(file.size for file in plan.files))
            text = f"Upload {_count(len(plan.files), 'file')}, {size}, in one commit"
            steps.append(Step(text, "uploaded the files", self._upload, tuple(named_files(plan))))
        if plan.hardware and plan.space is not None:
            text = f"Move it from {plan.space.hardware or 'no hardware'} to {wanted.hardware}{self._sleep()}"
            steps.append(Step(text, f"moved it to {wanted.hardware}", self._move))
        elif plan.sleep_time:
            steps.append(Step(f"Change when it sleeps{self._sleep()}", "changed when it sleeps", self._set_sleep_time))
        steps.append(Step("Wait until it runs, with its build log", "", self._wait))
        if wanted.smoke:
            steps.append(Step(f"Call its first endpoint that needs nothing but text{self._price()}", "", self._smoke))
        return steps

    def run(self) -> None:
        """Do all steps, telling each.

        Raises:
            DeployError: one failed; the message says what was done before it.
        """
        for step in self.steps():
            self._say(step.text)
            more = len(step.details) - MAX_NAMED
            for line in (*step.details[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])):
                self._say(f"  {line}")
            try:
                step.act()
            except errors.SpaceFailed as exc:
                raise type(exc)(self._hidden(exc.message)) from exc
            except errors.DeployError as exc:
                raise type(exc)(f"{self._hidden(exc.message)} {self.so_far()}") from exc
            if step.past:
                self.done.append(step.past)

    def so_far(self) -> str:
        """What is done, as a sentence."""
        return f"Done before that: {', '.join(self.done)}." if self.done else "Nothing was changed before that."

    def _price(self) -> str:
        return ", on your own ZeroGPU quota" if self.plan.wanted.hardware == ZERO_GPU else ""

    @property
    def api(self) -> HfApi:
        """The Hub."""
        if self._api is None:
            raise errors.NotSignedIn(NO_TOKEN)
        return self._api

    def _hidden(self, text: str) -> str:
        """The text without the secrets: an app or the Hub may have repeated one."""
        for value in sorted(self.plan.wanted.secrets.values(), key=len, reverse=True):
            if len(value) >= MIN_VALUE:
                text = text.replace(value, "***")
        return text

    def _sleep(self) -> str:
        seconds = self.plan.wanted.sleep_time_s
        if seconds is None:
            paid = self.plan.wanted.hardware not in UNPAID and (self.plan.is_new or self.plan.hardware)
            return ", which is billed by the minute and never sleeps by itself" if paid else ""
        return ", never to sleep" if seconds == -1 else f", to sleep after {duration(seconds)} without a visit"

    def _make(self) -> None:
        wanted = self.plan.wanted
        with asking("making the Space", self._name):
            self.api.create_repo(
                self._name,
                repo_type="space",
                space_sdk="gradio",
                space_hardware=wanted.hardware,  # type: ignore[arg-type]  # the library takes its name as well
                space_sleep_time=wanted.sleep_time_s,
                private=True if wanted.private else None,
            )

    def _set_variable(self, name: str) -> None:
        with asking(f"setting the variable {name}", self._name):
            self.api.add_space_variable(self._name, name, self.plan.wanted.variables[name])

    def _set_secret(self, name: str) -> None:
        with asking(f"setting the secret {name}", self._name):
            self.api.add_space_secret(self._name, name, self.plan.wanted.secrets[name])

    def _upload(self) -> None:
        files = self.plan.files
        try:
            added = [CommitOperationAdd(file.name, file.path) for file in files]
        except ValueError as exc:
            raise errors.FolderError(f"{shown(exc)}. Was the folder changed just now?") from exc
        with asking("uploading the files", self._name), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                self.api.create_commit(
                    self._name,
                    added,
                    commit_message=f"Deploy {_count(len(files), 'file')} with ZeroKit",
                    repo_type="space",
                    parent_commit=self.plan.space.sha if self.plan.space else None,
                )
            except UnicodeDecodeError as exc:
                raise errors.FolderError("README.md is not a text in UTF-8.") from exc
            except ValueError as exc:
                if "README.md" not in str(exc):
                    raise
                raise errors.HubRefused(shown(exc)) from exc
        for one in said:
            self._say(f"  {shown(one.message)}")

    def _move(self) -> None:
        wanted = self.plan.wanted
        with asking(f"asking for {wanted.hardware}", self._name):
            self.api.request_space_hardware(self._name, wanted.hardware, sleep_time=wanted.sleep_time_s)  # type: ignore[arg-type]

    def _set_sleep_time(self) -> None:
        with asking("changing when it sleeps", self._name):
            self.api.set_space_sleep_time(self._name, self.plan.wanted.sleep_time_s or -1)

    def _wait(self) -> None:
        def say(line: str) -> None:
            self._say(f"  | {self._hidden(line)}")

        fresh = bool(self.done)
        runtime = until_running(self.api, self._name, is_fresh=fresh, timeout_s=self._timeout_s, say=say)
        self._is_asleep = runtime.stage == SLEEPING

    def _smoke(self) -> None:
        if self._is_asleep:
            self._say("  It sleeps, and wakes when it is visited: not called.")
            return
        with asking("asking for its address", self._name):
            host = self.api.space_info(self._name).host
        visit = Visit(self.api, self._name, host or "")
        try:
            if visit.call is None:
                self._say("  Its page and its API answer; no endpoint takes text alone, so none was called.")
                return
            self._say(f"  {visit.call}")
            visit.make()
            self._say("  It answered.")
        finally:
            visit.close()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
