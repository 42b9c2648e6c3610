"""Broken connections leave futures behind whose errors nobody asks for; they are swept up here.

Otherwise Python 3.11 may log them in the middle of parsing a file and fail with "AST constructor recursion depth
mismatch", a defect of that interpreter.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def swept() -> Iterator[None]:
    yield
    gc.collect()
