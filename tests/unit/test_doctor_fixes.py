"""`--fix`: what it changes, that it changes nothing else, and that a second time changes nothing."""

from __future__ import annotations

import pytest
from doctor_spaces import APP, CARD, codes, write

from zerokit.doctor.fixes import Fix, fix
from zerokit.errors import UsageError

CHAT = "from zerokit import ZeroChat\n\nZeroChat('embedded').launch()\n"
FUNCTION = APP.partition("import torch\n")[2]
LATE = f"'An app.'\n\nimport os\nimport torch  # first\n\nimport gradio as gr\nimport spaces\n{FUNCTION}"
EARLY = LATE.replace("import spaces\n", "").replace("import torch", "import spaces\nimport torch")


def mended(folder, name, before, **others):
    """What is in a file after `fix`, once it is sure that a second `fix` leaves it alone."""
    write(folder, **{name: before, **others})
    first = fix(folder)
    after = (folder / name).read_bytes()
    assert fix(folder) == []
    assert (folder / name).read_bytes() == after
    return first, after.decode()


CARDS = [
    ('python_version: "3.12"', "python_version: 3.11", 'python_version: "3.12"'),
    ('python_version: "3.12"', "python_version:   '3.11'   # mine", 'python_version:   "3.12"   # mine'),
    ("suggested_hardware: zero-a10g", "suggested_hardware: zerogpu", "suggested_hardware: zero-a10g"),
    ("suggested_hardware: zero-a10g", 'suggested_hardware: "Zero-GPU" # free', "suggested_hardware: zero-a10g # free"),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(("line", "wrong", "right"), CARDS)
def test_a_field_of_the_card_is_changed_and_nothing_else(tmp_path, line, wrong, right, mark, end):
    text = mark + f"{CARD}\n# Title\n\nText: python_version: 3.11  \n\ttail".replace("\n", end)
    fixes, after = mended(tmp_path, "README.md", text.replace(line, wrong))
    assert after == text.replace(line, right)
    assert [one.path for one in fixes] == ["README.md"]
    assert codes(tmp_path) == []


OAUTH = [
    ("", "hf_oauth: true\nhf_oauth_scopes:\n  - read-billing\n"),
    ("hf_oauth: true\n", "hf_oauth: true\nhf_oauth_scopes:\n  - read-billing\n"),
    ("hf_oauth: false  # no\n", "hf_oauth: true  # no\nhf_oauth_scopes:\n  - read-billing\n"),
    ("hf_oauth_scopes: [email]\nhf_oauth: true\n", "hf_oauth_scopes: [email, read-billing]\nhf_oauth: true\n"),
    ("hf_oauth: true\nhf_oauth_scopes: []\n", "hf_oauth: true\nhf_oauth_scopes: [read-billing]\n"),
    (
        "hf_oauth: true\nhf_oauth_scopes:\n- email # theirs\n- openid\n",
        "hf_oauth: true\nhf_oauth_scopes:\n- read-billing\n- email # theirs\n- openid\n",
    ),
    ("hf_oauth_scopes:\n  - read-billing\n", "hf_oauth: true\nhf_oauth_scopes:\n  - read-billing\n"),
]


@pytest.mark.parametrize(("before", "after"), OAUTH)
def test_sign_in_is_added_to_what_the_card_has(tmp_path, before, after):
    card = "---\ntitle: T\nsdk: gradio\n{}suggested_hardware: zero-a10g\n---\nText\n"
    fixes, found = mended(tmp_path, "README.md", card.format(before), **{"app.py": CHAT})
    assert found == card.format(after)
    assert [one.code for one in fixes] == ["ZK110"]
    assert codes(tmp_path) == []


def test_a_scope_that_is_no_list_is_left_to_its_author(tmp_path):
    card = CARD.replace("hf_oauth_scopes:\n  - read-billing", "hf_oauth_scopes: email")
    fixes, after = mended(tmp_path, "README.md", card, **{"app.py": CHAT})
    assert (fixes, after) == ([], card)
    assert codes(tmp_path) == ["ZK110"]


PINS = [
    ("spaces==0.30.2\n", "spaces\n"),
    ("torch\nspaces ~= 0.30  # known\r\nnumpy", "torch\nspaces  # known\r\nnumpy"),
    ("  Spaces==1 ; python_version > '3'\n", "  Spaces ; python_version > '3'\n"),
    ("# spaces==1\nspaces<0.40,>=0.2\n", "# spaces==1\nspaces\n"),
    ("spaces==0.1\nspaces==0.2", "spaces\nspaces"),
]


@pytest.mark.parametrize(("before", "after"), PINS)
def test_the_pin_of_spaces_is_dropped(tmp_path, before, after):
    fixes, found = mended(tmp_path, "requirements.txt", before)
    assert found == after
    assert {one.code for one in fixes} == {"ZK108"}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_spaces_is_imported_first(tmp_path, end):
    fixes, after = mended(tmp_path, "app.py", LATE.replace("\n", end))
    assert after == EARLY.replace("\n", end)
    assert fixes == [Fix("ZK202", "app.py", "`import spaces` comes before the other packages")]
    assert codes(tmp_path) == []


@pytest.mark.parametrize(
    "late",
    [
        LATE.replace("import spaces\n", "import spaces as spaces\n"),
        LATE.replace("import gradio as gr\nimport spaces\n", "import gradio as gr; import spaces\n"),
        LATE.replace("import spaces\n", "if True:\n    import spaces\n"),
        LATE.replace("import torch  # first", "import torch; import sys"),
    ],
)
def test_an_import_that_is_no_line_of_its_own_is_left_to_its_author(tmp_path, late):
    fixes, after = mended(tmp_path, "app.py", late)
    assert (fixes, after) == ([], late)
    assert codes(tmp_path) == ["ZK202"]


def test_what_used_cuda_too_early_comes_after_the_import(tmp_path):
    late = LATE.replace("import gradio", 'device = "cuda" if torch.cuda.is_available() else "cpu"\nimport gradio')
    fixes, _ = mended(tmp_path, "app.py", late)
    assert [one.code for one in fixes] == ["ZK203"]
    assert codes(tmp_path) == []


def test_examples_are_cached_when_they_are_asked_for(tmp_path):
    page = (
        f"import gradio as gr\n{APP}\n\ngr.Interface(add, 'text', 'text', examples=[[1, 2]], concurrency_limit=None,\n"
        "             cache_examples=True,   cache_mode='{}').launch()\n"
    ).replace("import gradio as gr\nimport spaces", "import spaces\nimport gradio as gr")
    fixes, after = mended(tmp_path, "app.py", page.format("eager"))
    assert after == page.format("lazy")
    assert [one.code for one in fixes] == ["ZK410"]


def test_everything_at_once(tmp_path):
    card = CARD.replace("zero-a10g", "zerogpu").replace('"3.12"', "3.9")
    write(tmp_path, README__md=card, app__py=LATE, requirements__txt="spaces==0.1\n")
    before = set(codes(tmp_path))
    assert {one.code for one in fix(tmp_path)} >= {"ZK106", "ZK108", "ZK111", "ZK202"}
    assert before & {"ZK108", "ZK111"}
    assert codes(tmp_path) == []


def test_a_silenced_line_is_not_mended(tmp_path):
    text = "spaces==0.1  # zerokit: ignore[ZK108]\n"
    assert mended(tmp_path, "requirements.txt", text) == ([], text)


def test_rights_and_links_stay(tmp_path):
    write(tmp_path, requirements__txt=None, **{"real.txt": "spaces==0.1\n"})
    (tmp_path / "real.txt").chmod(0o640)
    (tmp_path / "requirements.txt").symlink_to("real.txt")
    assert [one.code for one in fix(tmp_path)] == ["ZK108"]
    assert (tmp_path / "requirements.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "spaces\n"
    assert (tmp_path / "real.txt").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "app.py", "real.txt", "requirements.txt"]


def test_a_file_that_cannot_be_written_is_said_to_be_so(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    write(tmp_path, requirements__txt="spaces==0.1\n")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        fix(tmp_path)
    assert (tmp_path / "requirements.txt").read_text() == "spaces==0.1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "app.py", "requirements.txt"]
