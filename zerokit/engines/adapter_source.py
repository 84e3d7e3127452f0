"""Where an adapter's files are, and how large: on the Hub, in a folder, or one file. Nothing large is fetched."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, metadata_load
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, SafetensorsParsingError
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

from zerokit import settings
from zerokit.adapters import AdapterSpec
from zerokit.engines.adapter_files import CONFIG, MAX_HEADER_BYTES, MAX_JSON_BYTES, Entry, Tensor, checked_header
from zerokit.engines.source import PICKLES, Source, Token, find, find_public, listed, shown
from zerokit.errors import AdapterError, GatedModel, ModelError, ModelNotFound, UnsafeWeights

_USUAL = {"text": "adapter_model.safetensors", "image": "pytorch_lora_weights.safetensors"}
_WEIGHT_NAME = re.compile(r"[\w .()+@-]{1,200}(/[\w .()+@-]{1,200}){0,4}")
"""Without the signs of a pattern: the Hub's client takes names as patterns."""


@dataclass(frozen=True)
class Found:
    """An adapter's files."""

    name: str
    """Of its repository, folder or file, for messages."""
    weights: str
    config: str | None
    """Of an adapter_config.json beside the weights."""
    bytes: int
    fetch: Callable[[str], Path] = field(repr=False)
    base: str | None = None
    """What its card says."""
    remote: bool = False
    commit: str | None = None


def locate(spec: AdapterSpec, *, kind: str, token: Token, guest: Path | None = None) -> Found:
    """Find an adapter's files.

    Args:
        spec: where it is.
        kind: of the model that it is for.
        token: for a private or gated repository.
        guest: for what a visitor names: look only at what everybody can see on the Hub, and fetch it into this folder.

    Raises:
        AdapterError: there is no adapter among them, or several.
        UnsafeWeights: there are only pickles.
        ModelError: the source cannot be used; a subclass where the reason is a common one.
    """
    if spec.weight_name is not None:
        _check_weight_name(spec.weight_name)  # before anything is asked of the Hub
    if guest is not None:
        return _in_source(find_public(spec.source, guest), spec, kind, False)
    try:
        path = Path(spec.source).expanduser()
    except RuntimeError as exc:
        raise ModelNotFound(f'There is no folder "{shown(spec.source)}".') from exc
    if _is_file(path):
        return _one_file(path)
    if str(spec.source).endswith((".safetensors", *PICKLES)):
        raise ModelNotFound(f'There is no file "{shown(spec.source)}".')
    return _in_source(find(spec.source, kind, revision=spec.revision, token=token), spec, kind, token)


def _in_source(source: Source, spec: AdapterSpec, kind: str, token: Token) -> Found:
    weights = spec.weight_name or _weights(source, kind)
    _check_weight_name(weights)
    if weights not in source.files:
        there = sorted(name for name in source.files if name.endswith(".safetensors"))
        raise AdapterError(f'"{source.name}" has no file "{shown(weights)}". There are: {listed(there)}')
    config = str(PurePosixPath(weights).with_name(CONFIG))
    remote = source.commit is not None

    def fetch(name: str) -> Path:
        if remote and name == config and source.sizes.get(name, 0) > MAX_JSON_BYTES:
            raise AdapterError(f'{CONFIG} of "{source.name}" is too large: {source.sizes[name]:,} bytes.')
        file = source.fetch([name]) / name
        if not remote:
            _check_inside(file, source.fetch([]), source.name)
        return file

    size = _remote_bytes(source, weights, token) if remote else fetch(weights).stat().st_size
    base = source.base if remote else _card_base(source)
    found_config = config if config in source.files else None
    return Found(source.name, weights, found_config, size, fetch, base, remote, source.commit)


def read_remote_header(found: Found, token: Token) -> dict[str, Tensor]:
    """The tensors of a file on the Hub, from its first bytes alone.

    Raises:
        AdapterError: it is no safetensors file, or says what cannot be.
        GatedModel: its owner has not let this token in.
        ModelError: the Hub does not answer.
    """
    hub = HfApi(endpoint=settings.hub_endpoint(), token=token)
    try:
        said = hub.parse_safetensors_file_metadata(found.name, found.weights, revision=found.commit)
    except GatedRepoError as exc:
        raise GatedModel(f'The owner of "{found.name}" grants access one by one.') from exc
    except (SafetensorsParsingError, RecursionError, KeyError, TypeError, ValueError) as exc:
        raise AdapterError(f'"{shown(found.weights)}" of "{found.name}" is no safetensors file, or damaged.') from exc
    except (HfHubHTTPError, httpx.HTTPError, OSError) as exc:
        raise ModelError(f'"{found.name}" could not be looked at: {type(exc).__name__}. Try again.') from exc
    entries: dict[str, Entry] = {
        key: (str(one.dtype), tuple(one.shape), (one.data_offsets[0], one.data_offsets[1]))
        for key, one in said.tensors.items()
    }
    data_bytes = max((end for _, _, (_, end) in entries.values()), default=0)
    if not 0 < found.bytes - 8 - data_bytes <= MAX_HEADER_BYTES:
        raise AdapterError(f'"{shown(found.weights)}" of "{found.name}" does not have the size that it says.')
    return checked_header(entries, data_bytes)


def _check_weight_name(name: str) -> None:
    if name.endswith(PICKLES):
        raise UnsafeWeights(f'"{shown(name)}" is a pickle file.')
    if not _WEIGHT_NAME.fullmatch(name) or ".." in name.split("/") or not name.endswith(".safetensors"):
        raise AdapterError(f"{shown(ascii(name))} cannot be the name of a .safetensors file inside the source.")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _one_file(file: Path) -> Found:
    if file.name.endswith(PICKLES):
        raise UnsafeWeights(f'"{shown(file.name)}" is a pickle file.')
    if not file.name.endswith(".safetensors"):
        raise AdapterError(f'"{shown(file.name)}" is no .safetensors file.')
    config = CONFIG if (file.parent / CONFIG).is_file() else None
    return Found(file.name, file.name, config, file.stat().st_size, lambda name: file.parent / name)


def _weights(source: Source, kind: str) -> str:
    """The one file that must be meant where none is named."""
    if _USUAL[kind] in source.files:
        return _USUAL[kind]
    here = sorted(name for name in source.files if name.endswith(".safetensors") and "/" not in name)
    if "config.json" in source.files or "model_index.json" in source.files:
        raise AdapterError(f'"{source.name}" is a whole model, not an adapter.')
    if len(here) == 1:
        return here[0]
    if here:
        raise AdapterError(f'"{source.name}" has {len(here)} files: name one with weight_name. {listed(here)}')
    pickles = sorted(name for name in source.files if name.endswith(PICKLES))
    if pickles:
        raise UnsafeWeights(f'The weights of "{source.name}" are pickle files only: {listed(pickles)}')
    raise AdapterError(f'"{source.name}" has no adapter in it. Its files: {listed(sorted(source.files))}')


def _check_inside(file: Path, folder: Path, name: str) -> None:
    """Refuse a link that leads out of the folder, but for those of the Hub's cache, which lead to its own blobs."""
    there, top = file.resolve(), folder.resolve()
    allowed = [top, top.parents[1] / "blobs"] if top.parent.name == "snapshots" else [top]
    if not any(there.is_relative_to(root) for root in allowed):
        raise AdapterError(f'{shown(file.name)} of "{name}" is a link that leads out of its folder.')


def _remote_bytes(source: Source, name: str, token: Token) -> int:
    if name in source.sizes:
        return source.sizes[name]
    endpoint = settings.hub_endpoint()
    url = hf_hub_url(source.name, name, revision=source.commit, endpoint=endpoint)
    try:
        size = get_hf_file_metadata(url, token=token, endpoint=endpoint).size
    except GatedRepoError as exc:
        raise GatedModel(f'The owner of "{source.name}" grants access one by one.') from exc
    except (HfHubHTTPError, httpx.HTTPError, OSError) as exc:
        raise ModelError(f'"{source.name}" could not be looked at: {type(exc).__name__}. Try again.') from exc
    if size is None:
        raise AdapterError(f'The Hub does not say how large "{shown(name)}" of "{source.name}" is.')
    return size


def _card_base(source: Source) -> str | None:
    """The base that the card of a folder names."""
    card = source.fetch([]) / "README.md"
    try:
        if card.stat().st_size > MAX_JSON_BYTES:
            return None
        said = metadata_load(card)
    except Exception:  # noqa: BLE001 - a card is written by hand: whatever is wrong with it, it only tells nothing
        return None
    base = said.get("base_model") if isinstance(said, dict) else None
    return base if isinstance(base, str) else None
