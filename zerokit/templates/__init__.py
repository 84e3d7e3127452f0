"""The templates of `zerokit new`: the Spaces in apps/, which of them serves a model, and a copy that is filled in."""

from __future__ import annotations

from .catalogue import TEMPLATES, Template, find, folder
from .choosing import Choice, choose
from .filling import create

__all__ = ["TEMPLATES", "Choice", "Template", "choose", "create", "find", "folder"]
