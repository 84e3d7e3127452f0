"""What an app finds around it: the environment of a Space."""

from __future__ import annotations

import os
from pathlib import Path

from . import openid
from .page import Space
from .server import HOST


def environment(space: Space, url: str, folder: Path) -> dict[str, str]:
    """What the platform sets in a Space, as far as it makes an app behave rightly on loopback.

    Not SPACE_HOST: Gradio would send sign-ins to https (gradio 6.31, oauth.py, _generate_redirect_uri).

    Args:
        space: the app's Space.
        url: where the emulator is.
        folder: for the app's own files.
    """
    folder.mkdir(exist_ok=True)
    cgroup = folder / "cgroup"
    cgroup.write_text(f"0::{space.cgroup}\n")
    no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy")), HOST, "localhost"]))
    owner, name = space.id.split("/")
    return {
        # transformers 5 loads in threads, where the emulation of `spaces` does not hold: "cuda" would be refused.
        # Inferred: Spaces with device_map="cuda" run on the platform, so it must say the same.
        "HF_DEACTIVATE_ASYNC_LOAD": "1",
        **os.environ,
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": f"{url}/zerogpu",
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(cgroup),
        "ZEROGPU_OFFLOAD_DIR": str(folder / "tensors"),
        "HF_ENDPOINT": url,
        "SYSTEM": "spaces",
        "SPACE_ID": space.id,
        "SPACE_AUTHOR_NAME": owner,
        "SPACE_REPO_NAME": name,
        "SPACE_TITLE": name,
        "OAUTH_CLIENT_ID": openid.CLIENT_ID,
        "OAUTH_CLIENT_SECRET": openid.CLIENT_SECRET,
        "OAUTH_SCOPES": openid.SCOPES,
        "OPENID_PROVIDER_URL": url,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
        "ZEROKIT_EMULATOR_URL": url,
        "ZEROKIT_EMULATOR_SPACE": space.id,
        "ZEROKIT_EMULATOR_PARENT": str(os.getpid()),
    }
