"""Every template is deployed as it is: without a finding of the doctor, once, and the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

APPS = sorted(path.parent for path in (Path(__file__).parents[2] / "apps").glob("*/app.py"))


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_a_template_is_deployed(hub, me, run, app):
    args = ["deploy", app, "--space", f"me/{app.name}", "--no-smoke"]
    code, dry, err = run(*args, "--dry-run")
    assert (code, err) == (0, "")
    assert "doctor" not in dry
    code, _, err = run(*args)
    assert (code, err) == (0, "")
    uploaded = set(hub.spaces[f"me/{app.name}"].files) - {".gitattributes"}
    assert {"README.md", "app.py", "requirements.txt"} <= uploaded
    hub.asked.clear()
    assert run(*args)[0] == 0
    assert hub.writes() == []
