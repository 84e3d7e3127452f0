"""Where a model comes from: a folder, the Hub, or the package itself. Looked at before anything large is fetched."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx, validate_repo_id  # type: ignore[attr-defined]

from zerokit import settings
from zerokit.errors import GatedModel, ModelError, ModelNotFound, NoRoom, NoWeights, UnsafeWeights, UsageError

EMBEDDED = "embedded"
Token: TypeAlias = "str | Literal[False] | None"
"""For the Hub; None: the one that its client knows; False: none at all."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_HUB_TIMEOUT_S = 15.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Source:
    """A model that was found, and the names of its files."""

    name: str
    """For people."""
    files: frozenset[str]
    """Relative to the model's top folder, with "/"."""
    _fetch: Callable[[Iterable[str]], Path] = field(repr=False)
    sizes: Mapping[str, int] = field(default_factory=dict, repr=False)
    """Bytes of the files, where they are known before they are fetched."""
    commit: str | None = None
    """Of a repository on the Hub; None for a folder."""
    base: str | None = None
    """The base model that the card of a repository names."""

    def fetch(self, names: Iterable[str]) -> Path:
        """The folder that holds the files `names`, fetched where they were not there yet.

        Raises:
            GatedModel: its owner has not let this token in.
            ModelError: they cannot be fetched.
        """
        return self._fetch(names)

    def small_files(self, endings: Iterable[str] = (".json", ".txt", ".jinja", ".model", ".tiktoken")) -> list[str]:
        """Files of the top folder that say what the model is: config, tokenizer, template."""
        return [name for name in self.files if "/" not in name and name.endswith(tuple(endings))]

    def json(self, name: str) -> dict[str, Any]:
        """What the JSON file `name` says; empty where there is none.

        Raises:
            ModelError: it is no JSON object.
        """
        if name not in self.files:
            return {}
        try:
            said = json.loads((self.fetch({*self.small_files(), name}) / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise ModelError(f'{name} of "{self.name}" cannot be read, or is not valid JSON.') from exc
        if not isinstance(said, dict):
            raise ModelError(f'{name} of "{self.name}" is no JSON object.')
        return said

    def weights(self) -> list[str]:
        """The safetensors files of the top folder, with their index where they are several.

        Raises:
            UnsafeWeights: there are only pickles.
            NoWeights: there are none, or not all that the index names.
        """
        index = "model.safetensors.index.json"
        if index in self.files:
            shards = sorted(set(self.json(index).get("weight_map", {}).values()))
            missing = [shard for shard in shards if shard not in self.files]
            if missing or not shards:
                raise NoWeights(f'"{self.name}" lacks {len(missing)} of {len(shards)} weight files: {listed(missing)}')
            return [index, *shards]
        if "model.safetensors" in self.files:
            return ["model.safetensors"]
        pickles = sorted(name for name in self.files if name.endswith(PICKLES))
        if pickles:
            raise UnsafeWeights(f'The weights of "{self.name}" are pickle files only: {listed(pickles)}')
        raise NoWeights(f'"{self.name}" has no model.safetensors. Its files: {listed(sorted(self.files))}')


def find(model: str | Path, kind: str, *, revision: str | None = None, token: Token = None) -> Source:
    """The model called `model`.

    Args:
        model: a folder, a repository on the Hub, "embedded", or "embedded:NAME".
        kind: which of the embedded models: "chat", "image", ...
        revision: branch, tag or commit of the repository.
        token: for a private or gated repository.

    Raises:
        UsageError: `model` is neither text nor path, or empty.
        ModelNotFound: there is no such folder, repository or revision.
        GatedModel: its owner has not let this token in.
        ModelError: the Hub cannot be asked.
    """
    if not isinstance(model, (str, Path)) or not str(model).strip():
        raise UsageError(f"A model is a repository's name, a folder or {EMBEDDED!r}, not {shown(repr(model))}.")
    if model == EMBEDDED:
        from zerokit import embedded

        return _in_folder(embedded.path(kind), EMBEDDED)
    if isinstance(model, str) and model.startswith(f"{EMBEDDED}:"):
        return _embedded(model)
    folder = Path(model).expanduser()
    if os.path.isdir(folder):
        return _in_folder(folder, folder.resolve().name)
    if os.path.isfile(folder):
        raise ModelNotFound(f'"{shown(folder.name)}" is a file, not the folder of a model.')
    if isinstance(model, Path) or re.match(r"[./~\\]|[A-Za-z]:[\\/]", model):
        raise ModelNotFound(f'There is no folder "{shown(model)}".{_near(folder)}')
    _check_name(model)
    return _on_hub(model, revision, token)


def find_public(repo: str | Path, cache: Path) -> Source:
    """A repository that everybody can see, for somebody who need not be trusted.

    No folder of this machine is looked at, nothing that was fetched for others, and no token is used.

    Args:
        repo: its name, "owner/name".
        cache: the folder that its files are fetched into.

    Raises:
        ModelNotFound: it cannot be the name of one, or there is none that everybody can see.
        GatedModel: its owner lets people in one by one.
        ModelError: the Hub cannot be asked.
    """
    if not isinstance(repo, str) or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise ModelNotFound(f'"{shown(repo)}" is no repository of the Hub: write "owner/name".')
    _check_name(repo)
    return _on_hub(repo, None, False, cache)


def _embedded(model: str) -> Source:
    from zerokit import embedded

    try:
        return _in_folder(embedded.path(model.partition(":")[2]), model)
    except ValueError as exc:
        raise ModelNotFound(shown(exc)) from exc


def shown(text: object) -> str:
    """`text` as a message may hold it: short, and without a token that was put into it."""
    return re.sub(r"hf_\w{4,}", "hf_***", str(text))[:120]


def _check_name(model: str) -> None:
    if "://" in model or model.startswith(("huggingface.co/", "hf.co/")):
        match = re.search(r"(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)", model)
        hint = f' Give its name: "{shown(match.group(1))}".' if match else ""
        raise ModelNotFound(f'"{shown(model)}" is an address, not a model\'s name.{hint}')
    try:
        validate_repo_id(model)
    except HFValidationError as exc:
        raise ModelNotFound(
            f'"{shown(model)}" is no folder and cannot be a repository\'s name ("owner/name").'
        ) from exc


def _near(folder: Path) -> str:
    """A hint at a folder beside it with almost that name."""
    try:
        beside = [entry.name for entry in folder.parent.iterdir() if entry.is_dir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(folder.name, beside, n=1, cutoff=0.7)
    return f' Did you mean "{near[0]}"?' if near else ""


def _in_folder(folder: Path, name: str) -> Source:
    # Two levels are all that a model has; below a wrong folder may lie a whole disk.
    found = [*folder.glob("*"), *folder.glob("*/*")]
    files = [file.relative_to(folder).as_posix() for file in found if file.is_file()]
    for file in files:
        if file.endswith(".safetensors") and _is_pointer(folder / file):
            raise NoWeights(
                f'{file} of "{name}" is a Git LFS pointer, not the weights: run "git lfs pull" in its folder.'
            )
    return Source(name, frozenset(files), lambda _: folder)


def _is_pointer(file: Path) -> bool:
    if file.stat().st_size > 1024:
        return False
    return file.read_bytes().startswith(b"version https://git-lfs")


def _on_hub(repo: str, revision: str | None, token: Token, cache: Path | None = None) -> Source:
    try:
        hub = HfApi(endpoint=settings.hub_endpoint(), token=token)
        info = hub.model_info(repo, revision=revision, timeout=_HUB_TIMEOUT_S, files_metadata=True)
    except GatedRepoError as exc:
        raise _gated(repo) from exc
    except RevisionNotFoundError as exc:
        raise ModelNotFound(f'"{repo}" has no revision "{shown(revision)}".') from exc
    except RepositoryNotFoundError as exc:
        near = difflib.get_close_matches(repo, [EMBEDDED], cutoff=0.7)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        seen = "this token cannot see it" if token else "it needs a token"
        raise ModelNotFound(f'There is no model "{repo}" on the Hub, or it is private and {seen}.{hint}') from exc
    except HfHubHTTPError as exc:
        if exc.response is not None and exc.response.status_code < 500:
            raise ModelError(f'The Hub refused to show "{repo}": status {exc.response.status_code}.') from exc
        return _in_cache(repo, revision, exc, cache)
    except (httpx.HTTPError, OfflineModeIsEnabled, OSError) as exc:
        return _in_cache(repo, revision, exc, cache)
    names = frozenset(sibling.rfilename for sibling in info.siblings or ())
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or () if sibling.size is not None}
    base = getattr(info.card_data, "base_model", None)

    fetched: dict[str, Path] = {}

    def fetch(wanted: Iterable[str]) -> Path:
        wanted = frozenset(wanted)
        if not wanted <= fetched.keys():
            fetched.update(dict.fromkeys(wanted, _download(repo, revision, token, wanted, cache)))
        return fetched[min(wanted)]

    return Source(repo, names, fetch, sizes, info.sha, base if isinstance(base, str) else None)


def _in_cache(repo: str, revision: str | None, exc: Exception, cache: Path | None) -> Source:
    """The repository as it was fetched before, where the Hub cannot be asked now."""
    for name in ("config.json", "model_index.json", "adapter_config.json"):
        config = try_to_load_from_cache(repo, name, cache_dir=cache, revision=revision)
        if isinstance(config, str):
            return _in_folder(Path(config).parent, repo)
    raise ModelError(
        f'The Hub ({settings.hub_endpoint()}) cannot be reached, and "{repo}" was not fetched before. '
        "Check the connection, or give the path of a folder."
    ) from exc


def _download(repo: str, revision: str | None, token: Token, names: Iterable[str], cache: Path | None) -> Path:
    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            token=token,
            allow_patterns=list(names),
            cache_dir=cache,
            endpoint=settings.hub_endpoint(),
        )
    except GatedRepoError as exc:
        raise _gated(repo) from exc
    except LocalEntryNotFoundError as exc:
        if isinstance(exc.__cause__, GatedRepoError):
            raise _gated(repo) from exc
        raise ModelError(f'"{repo}" could not be fetched: the connection to the Hub broke off. Try again.') from exc
    except (httpx.HTTPError, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno in _DISK_FULL:
            raise NoRoom(f'"{repo}" could not be fetched: the disk is full.') from exc
        raise ModelError(f'"{repo}" could not be fetched: {shown(type(exc).__name__)}. Try again.') from exc
    return Path(folder)


def _gated(repo: str) -> GatedModel:
    return GatedModel(f'The owner of "{repo}" grants access one by one ({settings.hub_endpoint()}/{repo}).')


def listed(names: list[str], most: int = 4) -> str:
    """The first of `names`, and how many more there are."""
    if not names:
        return "none."
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more + "."
