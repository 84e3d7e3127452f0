"""The doctor: reads a Space, runs nothing of it, and says what would break or waste quota on ZeroGPU."""

from __future__ import annotations

from .examine import examine
from .findings import Finding, Report

__all__ = ["Finding", "Report", "examine"]
