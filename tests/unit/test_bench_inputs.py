"""What `zerokit bench` asks of an app: an endpoint and values, from its schema or from the command line."""

from __future__ import annotations

import json

import pytest

from zerokit import cli
from zerokit.bench import inputs
from zerokit.errors import UsageError


def parameter(name, kind="str", example=None, **more):
    has_default = "default" in more
    return {
        "parameter_name": name,
        "parameter_has_default": has_default,
        "python_type": {"type": kind},
        "example_input": example,
    }


SCHEMA = {
    "named_endpoints": {
        "/clear": {"parameters": []},
        "/read": {"parameters": [parameter("picture", "filepath", {"path": "https://example.com/cat.png"})]},
        "/chat": {"parameters": [parameter("message"), parameter("steps", "float", 3), parameter("seed", default=0)]},
    }
}


def test_what_can_be_called_is_found_and_filled_and_what_wants_a_file_is_not():
    found = inputs.endpoints(SCHEMA)
    asked = [(endpoint.name, values) for endpoint, values in inputs.candidates(found)]
    assert asked == [("/chat", {"message": inputs.TEXT, "steps": 3}), ("/clear", {})]


@pytest.mark.parametrize("name", ["/chat", "chat", "//chat"])
def test_an_endpoint_by_its_name(name):
    assert inputs.chosen(inputs.endpoints(SCHEMA), name).name == "/chat"


def test_an_unknown_endpoint_gets_the_nearest():
    with pytest.raises(UsageError, match=r"no endpoint '/chatt', but /clear, /read, /chat\. Did you mean /chat\?"):
        inputs.chosen(inputs.endpoints(SCHEMA), "/chatt")
    with pytest.raises(UsageError, match="but none"):
        inputs.chosen([], "/chat")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"message": "a", "steps": 1, "massage": 2}, "Did you mean 'message'"),
        ({"message": "a"}, "also needs steps"),
        ({"x" * 500: 1}, r"not 'x{80}'"),
    ],
)
def test_values_that_an_endpoint_does_not_take(values, problem):
    with pytest.raises(UsageError, match=problem):
        inputs.chosen(inputs.endpoints(SCHEMA), "chat").check(values)


def test_inputs_from_the_command_line_and_from_a_file(tmp_path):
    file = tmp_path / "inputs.jsonl"
    file.write_text('{"message": "two"}\n\n{"message": "drei, für alle"}\n', "utf-8")
    read = inputs.read(['{"message": "one"}'], file)
    assert [values["message"] for values in read] == ["one", "two", "drei, für alle"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no JSON object"),
        ('"message"', "is no JSON object"),
        ("[" * 100_000, "is not JSON"),
        ("", "is not JSON"),
    ],
)
def test_an_input_that_is_none(text, problem, tmp_path):
    with pytest.raises(UsageError, match=problem):
        inputs.read([text], None)
    if text:
        (tmp_path / "inputs").write_text(f"{{}}\n{text}\n", "utf-8")
        with pytest.raises(UsageError, match=f"line 2 {problem}"):
            inputs.read([], tmp_path / "inputs")


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "is empty"), (b"\n \n", "is empty"), (b"\xff", "cannot be read")]
)
def test_a_file_without_inputs(content, problem, tmp_path):
    (tmp_path / "inputs").write_bytes(content)
    with pytest.raises(UsageError, match=problem):
        inputs.read([], tmp_path / "inputs")
    with pytest.raises(UsageError, match="cannot be read"):
        inputs.read([], tmp_path / "none")


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "LARGEST_FILE_BYTES", 1_000_000)
    (tmp_path / "inputs").write_text(json.dumps({"message": "x" * 1_000_000}), "utf-8")
    with pytest.raises(UsageError, match="larger than 1 MB"):
        inputs.read([], tmp_path / "inputs")


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["app.py"], "no app app.py"),
        (["app.py", "--visitors", "0"], "number of visitors is from 1 to 64, not 0"),
        (["app.py", "--minutes", "nan"], "number of minutes is from 0 to 1440, not nan"),
        (["app.py", "--gpus", "65"], "number of GPUs"),
        (["app.py", "--tier", "fre"], "Did you mean 'free'"),
        (["app.py", "--tier", "free", "--tier", "free"], "each plan once"),
        (["app.py", "--input", "{}"], "give both"),
        (["app.py", "--report", "no/such/report.html"], "no folder"),
    ],
)
def test_the_command_refuses_what_cannot_work(args, problem, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["bench", *args])
    assert problem in " ".join(capsys.readouterr().err.split())
