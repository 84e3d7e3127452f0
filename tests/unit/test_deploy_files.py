"""What of a folder belongs into its Space, and the secrets that must not be in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerokit.deploy import files, leaks
from zerokit.deploy.errors import FolderError, SecretFound
from zerokit.deploy.files import read_folder, size_of

TOKEN = "hf_" + "AbCdEfGhIj" * 3 + "KlMn"


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")


def names(folder):
    return [file.name for file in folder.files]


def test_what_belongs_is_there_and_what_does_not_has_a_reason(tmp_path):
    fill(tmp_path, "app.py", "README.md", "src/model.py", ".gitattributes", "src/__pycache__/x.pyc", ".git/config")
    fill(tmp_path, ".env", ".env.local", "prod.env", "venv/pyvenv.cfg", "venv/bin/python", ".cache/a", "key.pem")
    fill(tmp_path, "src/.venv/pyvenv.cfg", "node_modules/a.js", ".gradio/flagged.csv", ".DS_Store", "old.py~", "x.pyc")
    folder = read_folder(tmp_path)
    assert names(folder) == [".gitattributes", "README.md", "app.py", "src/model.py"]
    assert folder.left_out == {
        ".cache/": "a cache",
        ".git/": "version control",
        ".gradio/": "what Gradio keeps",
        "node_modules/": "installed packages",
        "venv/": "a virtual environment",
        "src/.venv/": "a virtual environment",
        "src/__pycache__/": "a cache",
        ".DS_Store": "the system's own",
        ".env": "secrets",
        ".env.local": "secrets",
        "key.pem": "a key",
        "old.py~": "an editor's copy",
        "prod.env": "secrets",
        "x.pyc": "a cache",
    }


def test_gitignore_is_read_as_git_reads_it(tmp_path):
    fill(tmp_path, "app.py", "a.log", "keep.log", "data/a.csv", "data/b.txt", "sub/a.log", "sub/b.txt", "sub/c/b.txt")
    fill(tmp_path, "out/x.txt", "deep/out/y.txt", "docs/out.txt", "sub/more.log")
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\n/data/*.csv\nout/\n# comment\n\n")
    (tmp_path / "sub" / ".gitignore").write_text("!more.log\nb.txt\n")
    found = names(read_folder(tmp_path))
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    told = ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard"]
    as_git = subprocess.run(told, check=True, capture_output=True, text=True).stdout.split()
    assert found == sorted(as_git)
    assert "sub/more.log" in found
    assert "deep/out/y.txt" not in found


@pytest.mark.parametrize("content", [b"\xff\xfe*\0", b"\xc3\x28"])
def test_a_gitignore_that_is_no_text(tmp_path, content):
    fill(tmp_path, "app.py")
    (tmp_path / ".gitignore").write_bytes(content)
    with pytest.raises(FolderError, match="cannot be read as lines of patterns"):
        read_folder(tmp_path)


def test_links_do_not_lead_out(tmp_path):
    outside = tmp_path / "outside"
    space = tmp_path / "space"
    fill(outside, "secret.txt")
    fill(space, "app.py")
    (space / "out.txt").symlink_to(outside / "secret.txt")
    (space / "folder").symlink_to(outside)
    (space / "nothing").symlink_to("nowhere")
    (space / "inside.py").symlink_to("app.py")
    os.mkfifo(space / "pipe")
    folder = read_folder(space)
    assert names(folder) == ["app.py", "inside.py"]
    assert folder.left_out == {
        "folder/": "a link to a folder",
        "nothing": "a link to nothing",
        "out.txt": "a link out of the folder",
        "pipe": "not a file",
    }


def test_names_of_all_kinds(tmp_path):
    fill(tmp_path, "приложение.py", "with space.txt", "a+b@c.txt", "#x", "line\nbreak")
    with open(os.fsencode(tmp_path) + b"/bad\xff", "w") as bad:
        bad.write("x")
    folder = read_folder(tmp_path)
    assert names(folder) == ["#x", "a+b@c.txt", "with space.txt", "приложение.py"]
    assert sorted(folder.left_out.values()) == ["a name that the Hub cannot have"] * 2
    assert all(name.isprintable() for name in folder.left_out)


def test_the_files_with_the_values_stay_here(tmp_path):
    fill(tmp_path, "app.py", "values.txt")
    folder = read_folder(tmp_path, [tmp_path / "values.txt"])
    assert names(folder) == ["app.py"]
    assert folder.left_out == {"values.txt": "its values are set in the Space"}


@pytest.mark.parametrize(
    ("path", "said"), [("none", "is not there"), ("file.txt", "is a file, not a folder"), ("empty", "holds nothing")]
)
def test_folders_that_are_none(tmp_path, path, said):
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "empty" / "__pycache__").mkdir(parents=True)
    with pytest.raises(FolderError, match=said):
        read_folder(tmp_path / path)


def test_too_much(tmp_path, monkeypatch):
    fill(tmp_path, "app.py", "b.txt")
    with open(tmp_path / "model.bin", "wb") as large:
        large.truncate(1_200_000_000)
    with pytest.raises(
        FolderError, match=r"has 1\.2 GB, and a Space's files may have 1\.0 GB\. The largest is model\.bin"
    ):
        read_folder(tmp_path)
    monkeypatch.setattr(files, "MAX_FILES", 2)
    with pytest.raises(FolderError, match="more than 2 files"):
        read_folder(tmp_path)


def test_a_file_is_known_as_git_and_the_hub_know_it(tmp_path):
    fill(tmp_path, "app.py")
    (file,) = read_folder(tmp_path).files
    told = subprocess.run(["git", "hash-object", file.path], check=True, capture_output=True, text=True).stdout
    assert file.git_oid() == told.strip()
    assert file.sha256() == hashlib.sha256(file.path.read_bytes()).hexdigest()
    assert file.size == len(file.path.read_bytes())


def test_a_file_that_is_gone(tmp_path):
    gone = files.File("app.py", tmp_path / "app.py", 5)
    for read in (gone.git_oid, gone.sha256, lambda: leaks.check_files([gone], [])):
        with pytest.raises(FolderError, match=r"app\.py cannot be read \(No such file or directory\)"):
            read()


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**9, "5.0 GB"),
        (10**13, "10000.0 GB"),
    ],
)
def test_sizes_in_words(count, said):
    assert size_of(count) == said


SECRETS = [
    TOKEN,
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a1b2c3d4e5f6" * 3,
    "sk-proj-" + "aB3dE5fG7h" * 5,
    "sk-ant-" + "aB3dE5fG7h" * 5,
    "AIza" + "aB3dE5fG7hI" * 3 + "xy",
    "xoxb-123456789012-abcdefghij",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
]
HARMLESS = [
    "hf_hub_download",
    "hf_" + "x" * 34,
    "hf_...",
    "HF_TOKEN=os.environ['HF_TOKEN']",
    "sk-learn",
    "-----BEGIN PUBLIC KEY-----",
    "sha256 " + "0123456789abcdef" * 4,
    "AKIA",
    "",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_found_and_not_told(tmp_path, secret):
    (tmp_path / "app.py").write_text(f"import os\n\nKEY = '{secret}'\n")
    with pytest.raises(SecretFound) as caught:
        leaks.check_files(read_folder(tmp_path).files, [])
    assert caught.value.message.startswith("app.py, line 3: ")
    assert secret not in str(caught.value)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_let_through(tmp_path, text):
    (tmp_path / "app.py").write_text(text)
    leaks.check_files(read_folder(tmp_path).files, [])
    assert leaks.kind_of(text) is None


def test_known_values_are_found_in_binary_files_too(tmp_path):
    (tmp_path / "data.bin").write_bytes(b"\0\1" * 9000 + b"my-own-password" + b"\0")
    with pytest.raises(SecretFound, match=r"^data\.bin: a secret that is set in the Space, or your own token"):
        leaks.check_files(read_folder(tmp_path).files, ["my-own-password", "short", ""])
    leaks.check_files(read_folder(tmp_path).files, ["another-password", "\0\1", ""])


def test_many_places_are_named_in_part(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.py").write_text(TOKEN)
    with pytest.raises(SecretFound, match="and 3 more"):
        leaks.check_files(read_folder(tmp_path).files, [])


def test_the_projects_own_templates_hold_none():
    apps = Path(__file__).parents[2] / "apps"
    for folder in filter(Path.is_dir, apps.iterdir()):
        leaks.check_files(read_folder(folder).files, [])


@given(st.binary(max_size=300))
def test_any_content_can_be_looked_through(content):
    assert leaks.kind_of(content.decode("latin-1")) in {None, *leaks._KINDS}
