"""Which files of a folder belong into its Space, and why the others do not."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from zerokit.deploy.errors import FolderError
from zerokit.quota.platform import SPACE_REPO_BYTES

MAX_FILES = 10_000
WARN_BYTES = 100_000_000
BUFFER = 1 << 20

LEFT_OUT_FOLDERS = {
    ".git": "version control",
    ".hg": "version control",
    ".svn": "version control",
    "__pycache__": "a cache",
    ".cache": "a cache",
    ".mypy_cache": "a cache",
    ".pytest_cache": "a cache",
    ".ruff_cache": "a cache",
    ".ipynb_checkpoints": "a cache",
    ".gradio": "what Gradio keeps",
    "flagged": "what Gradio keeps",
    "node_modules": "installed packages",
    "site-packages": "installed packages",
    ".idea": "an editor's settings",
    ".vscode": "an editor's settings",
    ".huggingface": "what the Hub's tools keep",
    ".ssh": "keys",
    ".aws": "keys",
}
LEFT_OUT_FILES = {
    ".env": "secrets",
    ".env.*": "secrets",
    "*.env": "secrets",
    ".netrc": "secrets",
    ".pypirc": "secrets",
    ".git-credentials": "secrets",
    "*.pem": "a key",
    "*.key": "a key",
    "id_rsa*": "a key",
    "id_ed25519*": "a key",
    "*.py[co]": "a cache",
    ".DS_Store": "the system's own",
    "Thumbs.db": "the system's own",
    "*~": "an editor's copy",
    "*.swp": "an editor's copy",
}


@dataclass(frozen=True)
class File:
    """A file that belongs into the Space.

    Args:
        name: its path in the Space, with "/".
        path: where it is here.
        size: in bytes.
    """

    name: str
    path: Path
    size: int

    def git_oid(self) -> str:
        """The SHA-1 that git gives its content."""
        return self._digest(hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False))

    def sha256(self) -> str:
        """The SHA-256 of its content, by which the Hub knows a large file."""
        return self._digest(hashlib.sha256())

    def _digest(self, digest: hashlib._Hash) -> str:
        try:
            with self.path.open("rb") as file:
                while block := file.read(BUFFER):
                    digest.update(block)
        except OSError as exc:
            raise unreadable(self.path, exc) from exc
        return digest.hexdigest()


@dataclass(frozen=True)
class Folder:
    """What of a folder belongs into its Space.

    Args:
        path: the folder.
        files: what belongs, by name.
        left_out: what does not, with the reason; a folder ends with "/".
    """

    path: Path
    files: tuple[File, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def read_folder(path: Path, apart: Sequence[Path] = ()) -> Folder:
    """Look at every file of a folder; nothing is read but the .gitignore files.

    Args:
        path: the folder.
        apart: files that never belong, wherever they are: those with the secrets.

    Raises:
        FolderError: there is no such folder, nothing belongs into a Space, or it is too much.
    """
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "is not there"
        raise FolderError(f"{path} {what}. Give the folder that holds app.py.")
    root = path.resolve()
    left_out: dict[str, str] = {}
    never = {one.resolve() for one in apart}
    try:
        files = tuple(sorted(_walk(root, left_out, never), key=lambda file: file.name))
    except OSError as exc:
        raise unreadable(path, exc) from exc
    folder = Folder(root, files, left_out)
    _check(folder)
    return folder


def unreadable(path: Path, exc: OSError) -> FolderError:
    """The error for a file or folder that the system does not give."""
    return FolderError(f"{exc.filename or path} cannot be read ({exc.strerror}).")


def _check(folder: Folder) -> None:
    if not folder.files:
        raise FolderError(f"{folder.path} holds nothing that belongs into a Space.")
    if folder.size > SPACE_REPO_BYTES:
        large = max(folder.files, key=lambda file: file.size)
        raise FolderError(
            f"{folder.path} has {size_of(folder.size)}, and a Space's files may have {size_of(SPACE_REPO_BYTES)}. "
            f"The largest is {large.name} with {size_of(large.size)}. Put weights and data into a repository of their "
            "own and load them from there, or name them in .gitignore."
        )


def _walk(root: Path, left_out: dict[str, str], never: set[Path]) -> Iterator[File]:
    rules: dict[Path, GitIgnoreSpec | None] = {}
    count = 0
    for here, folders, names in os.walk(root, onerror=_raise):
        folder = Path(here)
        rules[folder] = _ignore_file(folder)
        for name in sorted(folders):
            if reason := _folder_reason(folder / name, root, rules):
                left_out[f"{(folder / name).relative_to(root).as_posix()}/"] = reason
                folders.remove(name)
        for name in sorted(names):
            path = folder / name
            if reason := _file_reason(path, root, rules, never):
                left_out[_printable(path.relative_to(root))] = reason
                continue
            count += 1
            if count > MAX_FILES:
                raise FolderError(
                    f"{root} has more than {MAX_FILES:,} files that belong there. Is it the right folder?"
                )
            yield File(path.relative_to(root).as_posix(), path, path.stat().st_size)


def _raise(problem: OSError) -> None:
    raise problem


def _folder_reason(path: Path, root: Path, rules: dict[Path, GitIgnoreSpec | None]) -> str | None:
    if path.is_symlink():
        return "a link to a folder"
    if path.name in LEFT_OUT_FOLDERS:
        return LEFT_OUT_FOLDERS[path.name]
    if (path / "pyvenv.cfg").exists():
        return "a virtual environment"
    return "named in .gitignore" if _is_ignored(path, root, rules, is_folder=True) else None


def _file_reason(path: Path, root: Path, rules: dict[Path, GitIgnoreSpec | None], never: set[Path]) -> str | None:
    if path.resolve() in never:
        return "its values are set in the Space"
    for pattern, reason in LEFT_OUT_FILES.items():
        if fnmatch.fnmatchcase(path.name, pattern):
            return reason
    if _is_ignored(path, root, rules, is_folder=False):
        return "named in .gitignore"
    if not path.exists():
        return "a link to nothing"
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return "a link out of the folder"
    if not path.is_file():
        return "not a file"
    return None if _printable(path.name) == path.name else "a name that the Hub cannot have"


def _ignore_file(folder: Path) -> GitIgnoreSpec | None:
    file = folder / ".gitignore"
    if file.is_symlink() or not file.is_file():
        return None
    try:
        return GitIgnoreSpec.from_lines(file.read_text("utf-8-sig").splitlines())
    except (UnicodeDecodeError, ValueError) as exc:
        raise FolderError(f"{file} cannot be read as lines of patterns in UTF-8: {exc}.") from exc


def _is_ignored(path: Path, root: Path, rules: dict[Path, GitIgnoreSpec | None], *, is_folder: bool) -> bool:
    """As git has it: the .gitignore that is nearest decides, in each the last line that fits."""
    folder = path.parent
    while True:
        spec = rules[folder]
        if spec is not None:
            name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
            included = spec.check_file(name).include
            if included is not None:
                return included
        if folder == root:
            return False
        folder = folder.parent


def _printable(name: str | Path) -> str:
    return "".join(c if c.isprintable() else "�" for c in str(name).encode("utf-8", "replace").decode("utf-8"))


def size_of(count: int) -> str:
    """Bytes as "312 bytes", "4.2 kB", "1.3 GB"."""
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    units = ("bytes", "kB", "MB", "GB")
    power = min((len(str(count)) - 1) // 3, len(units) - 1)
    return f"{count / 1000**power:.1f} {units[power]}"
