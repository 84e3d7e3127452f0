"""Secrets and variables from files in dotenv form, and the comparison of a folder with its Space."""

from __future__ import annotations

import pytest
from huggingface_hub import SpaceHardware
from hypothesis import given
from hypothesis import strategies as st

from zerokit.deploy.files import read_folder
from zerokit.deploy.plan import Wanted, check_hardware, compare, named_files
from zerokit.deploy.preflight import RemoteFile, Space
from zerokit.deploy.variables import check_together, read_values
from zerokit.errors import UsageError

HUSH = "hush-hush-value"


def read(tmp_path, text):
    file = tmp_path / "values"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_values(file, "--secrets")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# only a comment\n\n", {}),
        ("A=1", {"A": "1"}),
        ("export A=1 # note", {"A": "1"}),
        ("A = 'x y' \nB=\"1\\n2\"", {"A": "x y", "B": "1\n2"}),
        ("A='two\nlines'", {"A": "two\nlines"}),
        ("A=$B\nB=${HOME}", {"A": "$B", "B": "${HOME}"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("_a1=ü→✓", {"_a1": "ü→✓"}),
        ("A=a=b=c", {"A": "a=b=c"}),
    ],
)
def test_values(tmp_path, text, values):
    assert read(tmp_path, text) == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"A={HUSH}\n{HUSH} and more", "line 2: this is not NAME=value"),
        (f"1A={HUSH}", "line 1"),
        (f"A-B={HUSH}", "line 1"),
        ("A=", "A has no value"),
        ("A", "A has no value"),
        ("A=1\nA=2", "line 2: A is there twice"),
        (f"A='{HUSH}", "line 1"),
        (f"A={HUSH}\0", "no text"),
        (b"A=\xff\xfe", "is not a text in UTF-8"),
        ("A=" + "x" * 100_000, "too long"),
        ("A=" + "x" * 2_000_000, "larger than"),
    ],
)
def test_files_that_are_wrong_are_named_and_their_values_are_not(tmp_path, text, said):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert HUSH not in str(caught.value)


@pytest.mark.parametrize("name", ["none", "."])
def test_files_that_are_not_there(tmp_path, name):
    with pytest.raises(UsageError, match=r"--variables: .* cannot be read"):
        read_values(tmp_path / name, "--variables")


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_text(text, "utf-8", errors="replace")
    try:
        values = read_values(file, "--secrets")
    except UsageError:
        return
    assert all(name.isidentifier() and value for name, value in values.items())


def test_a_name_is_one_of_both():
    with pytest.raises(UsageError, match="B: a name is a secret or a variable"):
        check_together({"A": "1", "B": "2"}, {"B": "3"})


def test_a_variable_with_a_token_in_it_is_refused():
    token = "hf_" + "AbCdEfGhIj" * 3 + "KlMn"
    with pytest.raises(UsageError, match="The variable KEY holds a token of the Hub") as caught:
        check_together({}, {"KEY": token})
    assert token not in str(caught.value)


@pytest.fixture
def wanted(tmp_path):
    (tmp_path / "app.py").write_text("print(1)\n")
    (tmp_path / "large.bin").write_bytes(b"\0" * 50)
    return Wanted("me/app", read_folder(tmp_path), variables={"A": "1", "B": "2"})


def as_it_is(wanted, **how):
    small, large = wanted.folder.files
    files = {
        "app.py": RemoteFile(small.git_oid(), False, small.size),
        "large.bin": RemoteFile(large.sha256(), True, large.size),
        ".gitattributes": RemoteFile("0" * 40, False, 5),
    }
    known = {"files": files, "variables": {"A": "1", "B": "2"}, "hardware": "zero-a10g", "sleep_time_s": 172800}
    return Space("me/app", **(known | how))


def test_nothing_differs(wanted):
    plan = compare(wanted, as_it_is(wanted))
    assert (plan.is_new, plan.files, plan.stay, plan.variables, plan.hardware, plan.sleep_time) == (
        False,
        (),
        (),
        (),
        False,
        False,
    )


def test_all_is_new(wanted):
    plan = compare(wanted, None)
    assert plan.is_new
    assert [file.name for file in plan.files] == ["app.py", "large.bin"]
    assert plan.variables == ("A", "B")
    assert not plan.hardware  # it is made with it


@pytest.mark.parametrize("name", ["app.py", "large.bin"])
def test_a_file_of_the_same_size_with_other_content_differs(wanted, name):
    space = as_it_is(wanted)
    there = space.files[name]
    space.files[name] = RemoteFile("f" * len(there.oid), there.is_large, there.size)
    assert [file.name for file in compare(wanted, space).files] == [name]


def test_a_large_file_is_not_known_by_what_git_calls_it(wanted):
    space = as_it_is(wanted)
    large = wanted.folder.files[1]
    space.files["large.bin"] = RemoteFile(large.git_oid(), True, large.size)
    assert [file.name for file in compare(wanted, space).files] == ["large.bin"]


def test_the_rest(wanted):
    space = as_it_is(wanted, variables={"A": "0", "C": "3"}, hardware="cpu-basic")
    space.files["old.py"] = RemoteFile("0" * 40, False, 1)
    plan = compare(wanted, space)
    assert plan.stay == ("old.py",)
    assert plan.variables == ("A", "B")
    assert plan.hardware


def test_files_are_named_with_their_size(wanted):
    space = as_it_is(wanted, files={"app.py": RemoteFile("0" * 40, False, 1)})
    assert named_files(compare(wanted, space)) == ["~ app.py (9 bytes)", "+ large.bin (50 bytes)"]


def test_secrets_do_not_show_in_what_is_printed(tmp_path):
    (tmp_path / "app.py").write_text("x")
    wanted = Wanted("me/app", read_folder(tmp_path), secrets={"A": HUSH}, variables={"B": HUSH})
    assert HUSH not in repr(wanted)


@pytest.mark.parametrize("hardware", ["zero-a10g", "cpu-basic"])
def test_unpaid_hardware_has_no_sleep_time(hardware):
    check_hardware(hardware, None)
    with pytest.raises(UsageError, match="--sleep-time is for hardware that is paid for"):
        check_hardware(hardware, 300)


@pytest.mark.parametrize("hardware", [one.value for one in SpaceHardware])
def test_all_hardware_of_the_hub_is_known(hardware):
    check_hardware(hardware, None)


@pytest.mark.parametrize("sleep_time_s", [1, 300, -1])
def test_paid_hardware_has_a_sleep_time(sleep_time_s):
    check_hardware("t4-small", sleep_time_s)
