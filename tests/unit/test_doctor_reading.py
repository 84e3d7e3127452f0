"""Folders and files that are no Space, or are meant to break whoever reads them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from doctor_spaces import APP, CARD, GOOD, codes, write

from zerokit.doctor import examine
from zerokit.errors import UsageError

SPACES = Path(__file__).parents[1] / "doctor_spaces"


def only(folder):
    """The one finding of a Space."""
    (finding,) = examine(folder).findings
    return finding


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path / "nothing", "does not exist"),
        (lambda path: write(path) / "app.py", "is a file, not a folder"),
        (lambda path: path, "is not a Space: it has neither a README.md with a card nor an app.py"),
    ],
)
def test_what_is_no_space_is_said_to_be_none(tmp_path, make, said):
    with pytest.raises(UsageError, match=said):
        examine(make(tmp_path))


def test_a_good_space_has_no_findings_and_is_left_as_it_is(tmp_path):
    write(tmp_path)
    report = examine(tmp_path)
    assert (report.findings, report.errors, report.warnings) == ((), (), ())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == GOOD


def test_an_app_without_a_card(tmp_path):
    finding = only(write(tmp_path, README__md=None))
    assert (finding.code, finding.path, finding.line) == ("ZK103", "README.md", None)
    assert finding.place == "README.md"


@pytest.mark.parametrize(
    ("card", "line"),
    [
        ("", 1),
        ("# A Space\n\nwithout a card\n", 1),
        ("---\ntitle: a: b\nsdk: gradio\n---\n", 2),
        ("---\n- a\n- b\n---\n", 2),
        ("---\ntitle: [unfinished\n---\n", 2),
        ("---\nsdk: gradio\n", 1),
        ("---\ntitle: !!python/object/apply:os.system ['true']\nsdk: gradio\n---\n", 2),
        ("---\na: &a [*a]\nb: " + "[" * 500 + "\nsdk: gradio\n---\n", None),
        ("\0\0\0", 1),
        (f"---\nsdk: gradio\nnotes: {'x' * 60_000}\n---\n", 2),
        ("<!doctype html><html>404</html>", 1),
    ],
)
def test_a_card_that_cannot_be_read(tmp_path, card, line):
    finding = only(write(tmp_path, README__md=card))
    assert finding.code == "ZK103"
    assert finding.severity == "error"
    assert line is None or finding.line == line


@pytest.mark.parametrize(
    ("app", "line", "said"),
    [
        ("def f(:\n", 1, "invalid syntax"),
        ("x = 1\n  y = 2\n", 2, "unexpected indent"),
        ("print 'hello'\n", 1, "Missing parentheses"),
        ("<!doctype html>\n", 1, "invalid syntax"),
        (b"x = 'caf\xe9'\n", 1, "not UTF-8"),
        (b"x = 1\ny = 2\n\xff\xfe\n", 3, "not UTF-8"),
        ("x = 1\n\0\n", None, "null bytes"),
        ("x = " + "(" * 400 + ")" * 400 + "\n", None, ""),
        ("x = " + "-" * 5000 + "1\n", None, "nested too deeply"),
        ("x = " + " + ".join(["1"] * 3000) + "\n", None, "nested too deeply"),
        ("#" * 2_000_001, None, "2,000,001 bytes"),
        ("é" * 1_200_000, None, "bytes"),
    ],
)
def test_an_app_that_cannot_be_read(tmp_path, app, line, said):
    finding = only(write(tmp_path, app__py=app))
    assert (finding.code, finding.path) == ("ZK101", "app.py")
    assert said in finding.message
    assert line is None or finding.line == line


NEWER = ["type Pair = tuple[int, int]\n", "def first[T](a: list[T]) -> T:\n    return a[0]\n", "f'{d['a']}'\n"]


@pytest.mark.parametrize("source", NEWER)
def test_what_only_a_newer_python_can_read_is_not_called_wrong(tmp_path, source):
    assert codes(write(tmp_path, app__py=source + APP)) == []
    assert codes(write(tmp_path, app__py=f"import newer\n{APP}", **{"newer.py": source})) == []


def test_an_empty_app_is_no_app_for_the_gpu(tmp_path):
    assert codes(write(tmp_path, app__py="")) == ["ZK201"]


def test_other_files_are_not_read_as_programs(tmp_path):
    write(
        tmp_path, **{"broken.py": "def f(:", "notes.ipynb": "{", "data.bin": b"\xff" * 100, "test_app.py": "import x ("}
    )
    assert codes(tmp_path) == []


def test_a_module_that_is_imported_is_read(tmp_path):
    write(tmp_path, app__py=f"import broken\n{APP}", **{"broken.py": "def f(:"})
    assert only(tmp_path).place == "broken.py:1"


def test_zerokit_in_the_folder_is_read_as_zerokit(tmp_path):
    own = {"zerokit/__init__.py": "from .blocks.chat import ZeroChat\n", "zerokit/blocks/chat.py": "def ZeroChat(:"}
    app = "from zerokit import ZeroChat, ZeroQuota\n\nZeroChat('a/b', trust_remote_code=True).launch()\n"
    assert codes(write(tmp_path, app__py=app, **own)) == ["ZK502"]
    alone = "import gradio\nfrom zerokit import ZeroQuota\n\nZeroQuota(sign_in=False)\n"
    assert codes(write(tmp_path, app__py=alone, **own, **{"zerokit/gpu.py": "import spaces\nspaces.GPU"})) == ["ZK201"]


def test_modules_that_import_each_other_are_read_once(tmp_path):
    one, other = f"import other\nfrom other import x\n{APP}\ny = x\n", "import app\nfrom app import y\nx = y\nz = x\n"
    assert codes(write(tmp_path, app__py=one, **{"other.py": other})) == []


def test_an_alias_of_itself_leads_nowhere(tmp_path):
    assert codes(write(tmp_path, app__py=f"a = b\nb = a\nc = c\n{APP}\nprint(a(), b.x(), c)\n")) == []


@pytest.mark.parametrize(
    "app_file", ["../outside.py", "/etc/passwd", "folder", "x" * 5000, '"\\0"', "[a, b]", "{a: b}", "3"]
)
def test_an_app_file_that_leads_elsewhere(tmp_path, app_file):
    space = tmp_path / "space"
    space.mkdir()
    (tmp_path / "outside.py").write_text("token = open('secret').read(")
    write(space, README__md=CARD.replace("sdk: gradio", f"sdk: gradio\napp_file: {app_file}"), **{"folder/x.py": ""})
    found = codes(space)
    assert found in ([], ["ZK101"], ["ZK102"])
    assert "secret" not in str(examine(space).as_dict())


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("password = (")
    write(tmp_path / "space", app__py=None, requirements__txt=None)
    (tmp_path / "space/app.py").symlink_to(secret)
    os.symlink("/dev/zero", tmp_path / "space/requirements.txt")
    report = examine(tmp_path / "space")
    assert {finding.message for finding in report.findings} == {"It leads out of the Space's folder."}


def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    write(tmp_path, app__py=None, README__md=None)
    os.mkfifo(tmp_path / "README.md")
    (tmp_path / "app.py").mkdir()
    with pytest.raises(UsageError, match="is not a Space"):
        examine(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "\ufeff\n",
        "==\n",
        "-r ../../etc/passwd\n",
        "a" * 100_000,
        "torch==\n",
        "[[[\n",
        "torch" + " \\\n" * 50,
        "é==1\n",
    ],
)
def test_requirements_of_any_kind(tmp_path, text):
    assert codes(write(tmp_path, requirements__txt=text)) == []


def test_a_damaged_app_never_breaks_the_doctor(tmp_path):
    damage = random.Random(0)
    apps = [path.read_text("utf-8-sig") for path in sorted(SPACES.glob("*/app.py"))]
    for _ in range(80):
        lines = damage.choice(apps).split("\n")
        for _ in range(damage.randint(1, 3)):
            place = damage.randrange(len(lines))
            line, cut = lines[place], damage.randint(0, len(lines[place]))
            lines[place] = (
                line[:cut] + damage.choice(["", "(", ")", "'", "*", "    "]) + line[cut + damage.randint(0, 4) :]
            )
            del lines[damage.randrange(len(lines))]
        report = examine(write(tmp_path, app__py="\n".join(lines)))
        assert all(finding.message and finding.path for finding in report.findings)


def test_a_large_space_is_read_in_a_moment(tmp_path):
    body = "".join(f"\n\ndef f{i}(a):\n    b = [a, {i}]\n    return f{i // 2}(b) + len(b)\n" for i in range(300))
    assert codes(write(tmp_path, app__py=APP + body)) == []


def test_a_comment_silences_a_line(tmp_path):
    wrong = APP.replace("duration=5", "duration=120")
    assert codes(write(tmp_path, app__py=wrong)) == ["ZK302"]
    for silent in (
        wrong.replace("=120)", "=120)  # zerokit: ignore[ZK302]"),
        wrong.replace("=120)", "=120)  #zerokit:ignore[zk301, ZK302] it is long"),
        wrong.replace("@spaces", "# zerokit: ignore[ZK302]\n@spaces"),
    ):
        assert codes(write(tmp_path, app__py=silent)) == []
    for loud in (
        wrong.replace("=120)", "=120)  # zerokit: ignore[ZK301]"),
        wrong.replace("=120)", "=120)  # zerokit: ignore"),
        f"# zerokit: ignore[ZK302]\n{wrong}",
        f"x = 1  # zerokit: ignore[ZK302]\n{wrong}",
    ):
        assert codes(write(tmp_path, app__py=loud)) == ["ZK302"]


def test_a_comment_silences_the_card_and_the_requirements_too(tmp_path):
    card = CARD.replace('python_version: "3.12"', 'python_version: "3.11"  # zerokit: ignore[ZK106]')
    assert codes(write(tmp_path, README__md=card, requirements__txt="spaces==0.1 # zerokit: ignore[ZK108]\n")) == []


def test_findings_are_told_apart_and_in_order(tmp_path):
    two = APP.replace("duration=5", "duration=120") + "\n\n@spaces.GPU(duration=900)\ndef more(a):\n    return a\n"
    report = examine(write(tmp_path, app__py=two, requirements__txt="torch\nspaces==0.1\n"))
    assert [(f.code, f.place) for f in report.findings] == [
        ("ZK302", "app.py:5"),
        ("ZK301", "app.py:10"),
        ("ZK108", "requirements.txt:2"),
    ]
    assert [f.code for f in report.errors] == ["ZK301", "ZK108"]
    assert [f.code for f in report.warnings] == ["ZK302"]
    assert [f.fixable for f in report.findings] == [False, False, True]
    assert report.as_dict()["errors"] == 2
