"""Who deploys, what the Space is like now, and whether it may work at all: only reads, nothing is changed.

Sources: huggingface_hub 2.4 (`whoami`, `space_info`, `list_spaces`); the Hub's answer to whoami-v2 has `isPro`,
`orgs[] {name, plan, isEnterprise, roleInOrg}` and `auth.accessToken {role, fineGrained}`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from huggingface_hub import HfApi, SpaceStage

from zerokit.deploy import errors
from zerokit.deploy.hub import asking, shown
from zerokit.quota.platform import PLANS, ZERO_GPU

_WRITERS = ("write", "admin", "contributor")


@dataclass(frozen=True)
class Account:
    """Whose token it is.

    Args:
        name: the user.
        plans: their plan and those of their organisations, by name; None: not known.
        writable: under which names the token may make a Space.
    """

    name: str
    plans: Mapping[str, str | None]
    writable: frozenset[str]


@dataclass(frozen=True)
class RemoteFile:
    """A file of the Space as it is: git's SHA-1, or for a large file its SHA-256."""

    oid: str
    is_large: bool
    size: int

    @classmethod
    def of(cls, entry: Any) -> RemoteFile:
        """From what `list_repo_tree` tells."""
        large = entry.lfs is not None
        return cls(entry.lfs.sha256 if large else entry.blob_id, large, entry.lfs.size if large else entry.size)


@dataclass(frozen=True)
class Space:
    """A Space as it is on the Hub."""

    name: str
    private: bool = False
    sha: str | None = None
    sdk: str | None = None
    stage: str = SpaceStage.NO_APP_FILE
    hardware: str | None = None
    """What it runs on, or has been asked to."""
    sleep_time_s: int | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


def ask_account(api: HfApi) -> Account:
    """Ask the Hub whose token this is and what it may.

    Raises:
        NotSignedIn: the Hub does not take it.
        NotAllowed: it may only read.
    """
    with asking("asking whose token this is", "the account"):
        return _account_of(api.whoami())


def _account_of(me: Mapping[str, Any]) -> Account:
    name = str(me["name"])
    token = (me.get("auth") or {}).get("accessToken") or {}
    role = token.get("role")
    orgs = [org for org in me.get("orgs") or () if isinstance(org, dict) and org.get("name")]
    if role == "read":
        raise errors.NotAllowed(f'The token "{shown(token.get("displayName", ""))}" of {name} may only read.')
    plans: dict[str, str | None] = {name: "pro" if me.get("isPro") else "free"}
    plans.update({org["name"]: _plan_of(org) for org in orgs})
    writable = {name, *(org["name"] for org in orgs if org.get("roleInOrg", "write") in _WRITERS)}
    if role != "fineGrained":
        return Account(name, plans, frozenset(writable))
    scopes = (token.get("fineGrained") or {}).get("scoped") or ()
    named = {one["entity"].get("name") for one in scopes if "repo.write" in one["permissions"]}
    return Account(name, plans, frozenset(writable & named))


def _plan_of(org: Mapping[str, Any]) -> str | None:
    """The plan of an organisation; "" for none; None where the Hub does not say or says something new."""
    if org.get("isEnterprise"):
        return "enterprise"
    if "plan" not in org:
        return None
    plan = org["plan"] or ""
    return "" if plan in ("", "free") else plan if plan in PLANS else None


def ask_space(api: HfApi, name: str) -> Space | None:
    """The Space of that name as it is, with its files; None when the Hub knows none that the token can see.

    Raises:
        SpaceTaken: it was given another name.
        DeployError: the Hub cannot be asked.
    """
    try:
        with asking("looking at the Space", name):
            info = api.space_info(name)
    except errors.SpaceNotFound:
        return None
    if info.id != name:
        raise errors.SpaceTaken(f"{name} is called {shown(info.id)} now.")
    with asking("looking at the Space", name):
        runtime = api.get_space_runtime(name)
        tree = list(api.list_repo_tree(name, recursive=True, repo_type="space")) if info.sha else []
    return Space(
        name,
        private=bool(info.private),
        sha=info.sha,
        sdk=info.sdk,
        stage=runtime.stage,
        hardware=runtime.requested_hardware or runtime.hardware,
        sleep_time_s=runtime.sleep_time,
        files={entry.path: RemoteFile.of(entry) for entry in tree if hasattr(entry, "blob_id")},
    )


def ask_settings(api: HfApi, space: Space) -> Space:
    """The same with its variables and the names of its secrets, which only those who may write can read."""
    with asking("reading its variables and the names of its secrets", space.name):
        variables = {key: one.value for key, one in api.get_space_variables(space.name).items()}
        secrets = frozenset(api.get_space_secrets(space.name))
    return replace(space, variables=variables, secrets=secrets)


def check_may_write(api: HfApi, account: Account, name: str, space: Space | None) -> None:
    """Refuse early what the Hub would refuse.

    Raises:
        NotAllowed: the name belongs to others, or the token is not for it.
    """
    if space is not None:
        with asking("asking whether the token may write there", name):
            api.auth_check(name, repo_type="space", write=True)
        return
    owner = name.partition("/")[0]
    if owner in account.writable:
        return
    own = sorted(account.writable)
    near = difflib.get_close_matches(owner, own, n=1)
    hint = f" Did you mean {near[0]}/{name.partition('/')[2]}?" if near else ""
    if owner in account.plans:
        raise errors.NotAllowed(f"The token of {account.name} may not make a Space under {owner}.{hint}")
    may = f"it may write under {', '.join(own)}" if own else "it may make none anywhere"
    raise errors.NotAllowed(f"There is no Space {name}, and the token of {account.name} cannot make it: {may}.{hint}")


def check_room(api: HfApi, account: Account, name: str) -> str:
    """Refuse one ZeroGPU Space more than the plan hosts; else say how many there are. Facts: platform.toml, `hosts`.

    Raises:
        PlanTooSmall: the plan hosts none, or there are as many already.
    """
    owner = name.partition("/")[0]
    plan = account.plans.get(owner)
    if plan is None:
        return f"The Hub does not tell the plan of {owner}, and so not how many ZeroGPU Spaces it may host."
    label, hosts = ("without a plan", 0) if plan == "" else (PLANS[plan].label, PLANS[plan].hosts)
    if not hosts:
        raise errors.PlanTooSmall(f"{owner} is an organisation {label}, which hosts no ZeroGPU Spaces.")
    with asking("counting the ZeroGPU Spaces", name):
        spaces = list(api.list_spaces(author=owner, expand=["runtime"]))
    others = [one.id for one in spaces if one.id != name and one.runtime is not None and _is_on_zero_gpu(one.runtime)]
    if len(others) >= hosts:
        raise errors.PlanTooSmall(
            f"{owner} ({label}) has {len(others)} ZeroGPU Spaces already, and its plan hosts {hosts}: "
            f"{shown(', '.join(sorted(others)))}. Move one to cpu-basic, or delete it on its page."
        )
    return f"{owner} ({label}) hosts {len(others)} of {hosts} ZeroGPU Spaces."


def _is_on_zero_gpu(runtime: Any) -> bool:
    return ZERO_GPU in (runtime.requested_hardware, runtime.hardware)
