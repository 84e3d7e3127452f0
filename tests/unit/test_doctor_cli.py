"""`zerokit doctor`: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from doctor_spaces import APP, write

from zerokit import cli
from zerokit.doctor.page import explain
from zerokit.doctor.rule import find_rule


def run(capsys, *args):
    """The command's exit code, stdout and stderr."""
    code = 0
    try:
        cli.main(["doctor", *map(str, args)])
    except SystemExit as exc:
        code = exc.code or 0
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_good_space_ends_with_0(tmp_path, capsys):
    assert run(capsys, write(tmp_path)) == (0, "Nothing found.\n", "")


def test_an_error_ends_with_1_and_says_what_why_and_what_to_do(tmp_path, capsys):
    code, out, err = run(capsys, write(tmp_path, requirements__txt="torch\nspaces==0.30.2\n"))
    assert (code, err) == (1, "")
    rule = find_rule("ZK108")
    assert out == (
        "error ZK108  requirements.txt:2\n"
        "  `spaces==0.30.2` pins it.\n"
        f"  {rule.why}\n"
        f"  {rule.advice} --fix does it.\n"
        "\n"
        "1 error. More about one: zerokit doctor --explain ZK108\n"
    )


def test_warnings_alone_end_with_0(tmp_path, capsys):
    code, out, _ = run(capsys, write(tmp_path, app__py=APP.replace("duration=5", "duration=120")))
    assert code == 0
    assert out.startswith("warning ZK302  app.py:5\n")
    assert "\n1 warning. More" in out


def test_markup_in_a_file_is_shown_as_it_is(tmp_path, capsys):
    _, out, _ = run(capsys, write(tmp_path, requirements__txt="spaces[red]==0.1\n"))
    assert "`spaces[red]==0.1` pins it." in out


def test_a_terminal_is_not_told_to_do_anything(tmp_path, capsys):
    write(tmp_path, requirements__txt="spaces @ https://example.org/\x1b[31m\x07x==1\n")
    (tmp_path / os.fsdecode(b"\xff\x1b.txt")).write_text("token = " + "hf_" + "Qw3rTy7uIoPa5sDfGhJkLzXcVbNm1234AB\n")
    code, out, _ = run(capsys, tmp_path)
    assert code == 1
    assert "error ZK501  ??.txt:1\n" in out
    assert "\x1b" not in out
    assert json.loads(run(capsys, tmp_path, "--json")[1])["errors"] >= 1


def test_the_folder_is_this_one_unless_it_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(write(tmp_path))
    assert run(capsys)[0] == 0


def test_what_is_no_space_is_an_error_of_its_own(tmp_path, capsys):
    code, out, err = run(capsys, tmp_path)
    assert (code, out) == (1, "")
    assert "This cannot work" in err
    assert "is not a Space" in err
    assert "Traceback" not in err


def test_json_is_for_programs(tmp_path, capsys):
    code, out, _ = run(capsys, write(tmp_path, requirements__txt="spaces==0.1\n"), "--json")
    told = json.loads(out)
    assert code == told["errors"] == 1
    assert told["warnings"] == 0
    assert told["findings"][0] == {
        "code": "ZK108",
        "severity": "error",
        "path": "requirements.txt",
        "line": 1,
        "message": "`spaces==0.1` pins it.",
        "why": find_rule("ZK108").why,
        "advice": find_rule("ZK108").advice,
        "fixable": True,
    }


def test_fix_says_what_it_changed(tmp_path, capsys):
    write(tmp_path, requirements__txt="spaces==0.1\n")
    code, out, _ = run(capsys, tmp_path, "--fix")
    assert (code, out) == (
        0,
        "Mended requirements.txt (ZK108): spaces==0.1 is no longer pinned.\nNothing found.\n",
    )
    assert run(capsys, tmp_path, "--fix") == (0, "Nothing found.\n", "")
    assert (tmp_path / "requirements.txt").read_text() == "spaces\n"


def test_fix_with_json_tells_both(tmp_path, capsys):
    code, out, _ = run(capsys, write(tmp_path, requirements__txt="spaces==0.1\n"), "--fix", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["findings"] == []
    assert told["fixes"] == [{"code": "ZK108", "path": "requirements.txt", "what": "spaces==0.1 is no longer pinned"}]


@pytest.mark.parametrize("code", ["ZK208", "zk208"])
def test_explain_prints_the_section_of_the_page(capsys, code):
    ended, out, _ = run(capsys, "--explain", code)
    assert (ended, out) == (0, explain(find_rule("ZK208")))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--explain", "ZK999"], "There is no rule 'ZK999'"),
        (["--explain", "<html>"], "There is no rule '<html>'"),
        (["--explain", "ZK208", "--fix"], "--explain stands alone"),
        (["nowhere"], "nowhere does not exist"),
    ],
)
def test_what_cannot_work_says_so(capsys, args, said):
    code, out, err = run(capsys, *args)
    assert (code, out) == (1, "")
    assert said in err


def test_nothing_heavy_is_imported(tmp_path):
    program = (
        "import sys\nfrom zerokit.cli import main\n"
        f"try:\n    main(['doctor', {str(write(tmp_path))!r}])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'gradio', 'spaces', 'numpy', 'huggingface_hub') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "Nothing found.\n[]\n"
