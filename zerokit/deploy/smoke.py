"""One call of a Space that runs, through gradio_client, as a visitor's program would make it.

The caller's token goes to the Hub only. For it the Hub gives a pass that is good for this one Space and a short time
(`GET /api/spaces/{space}/jwt`, as Gradio's JavaScript client does it); the Space's own host sees no more than that.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi, get_session
from huggingface_hub.utils import build_hf_headers, httpx  # type: ignore[attr-defined]

from zerokit.deploy import errors
from zerokit.deploy.hub import asking, shown

TIMEOUT_S = 180.0
TEXT = "Hello"
_TAKES_AWAY = re.compile(r"delete|remove|clear|reset|drop|purge|undo|stop|cancel", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    """A call that can be made: the endpoint, and texts for what it cannot do without."""

    endpoint: str
    values: Mapping[str, str]

    def __str__(self) -> str:
        values = ", ".join(f'{name}="{value}"' for name, value in self.values.items())
        return f"{self.endpoint}({values})"


def choose(info: Mapping[str, Any]) -> Call | None:
    """The first endpoint that needs nothing but text, and does not sound as if it took something away.

    None when there is none.

    Args:
        info: what `gradio_client.Client.view_api` tells.
    """
    for endpoint, about in info.get("named_endpoints", {}).items():
        if _TAKES_AWAY.search(endpoint):
            continue
        needed = [one for one in about.get("parameters", ()) if not one.get("parameter_has_default")]
        if all((one.get("type") or {}).get("type") == "string" for one in needed):
            return Call(endpoint, {one["parameter_name"]: TEXT for one in needed})
    return None


class Visit:
    """A visitor's program at a Space.

    Args:
        api: the Hub, with the caller's token.
        space: the Space's name.
        host: its address, as the Hub tells it.
    """

    def __init__(self, api: HfApi, space: str, host: str) -> None:
        self._space = space
        if not host.startswith("https://" if api.endpoint.startswith("https://") else "http"):
            raise errors.SmokeFailed(f'{space} runs, but the Hub gives no safe address for it ("{shown(host)}").')
        cookies = _cookies(api, space, host)
        try:
            self._client = _client(host, cookies)
            self.call = choose(self._client.view_api(print_info=False, return_format="dict"))
        except Exception as exc:  # the network, the proxy, an app that is none: all mean that it does not answer
            raise _silent(space, host, exc) from exc

    def make(self) -> None:
        """Make the call.

        Raises:
            SmokeFailed: its answer is an error, or does not come.
        """
        if self.call is None:
            return
        job = self._client.submit(api_name=self.call.endpoint, **self.call.values)
        try:
            job.result(timeout=TIMEOUT_S)
        except FutureTimeout as exc:
            job.cancel()
            raise errors.SmokeFailed(f"{self.call} did not answer within {TIMEOUT_S:.0f} s.") from exc
        except Exception as exc:  # whatever the app raised
            said = html.unescape(str(getattr(exc, "message", exc)))
            title = getattr(exc, "title", "") or type(exc).__name__
            raise errors.SmokeFailed(f'{self.call} ended with "{shown(title)}": {shown(said)}') from exc

    def close(self) -> None:
        """Leave."""
        self._client.close()


def _client(host: str, cookies: dict[str, str]) -> Any:
    from gradio_client import Client

    return Client(
        host,
        token=False,  # with None it would send the saved token to the host
        httpx_kwargs={"cookies": cookies, "timeout": TIMEOUT_S},
        verbose=False,
        analytics_enabled=False,
        download_files=False,
    )


def _cookies(api: HfApi, space: str, host: str) -> dict[str, str]:
    """What the Space's host gives for the Hub's pass, as a browser gets it from the page around the Space."""
    with asking("asking for a pass to it", space):
        answer = get_session().get(
            f"{api.endpoint}/api/spaces/{space}/jwt", headers=build_hf_headers(token=api.token), follow_redirects=False
        )
        found = answer.json().get("token") if answer.status_code == 200 else None
        if not isinstance(found, str) or not found:
            return {}
    try:
        page = get_session().get(f"{host.rstrip('/')}/", params={"__sign": found})
    except httpx.HTTPError as exc:
        raise _silent(space, host, exc) from exc
    return {name: value for one in (*page.history, page) for name, value in one.cookies.items()}


def _silent(space: str, host: str, exc: Exception) -> errors.SmokeFailed:
    return errors.SmokeFailed(f"{space} runs, but its app at {host} does not answer ({type(exc).__name__}).")
