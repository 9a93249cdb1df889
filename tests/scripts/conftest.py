# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of scripts/.  In the tools tier, or on any Debian with pytest and pytest-timeout, as
root or not:

    python3 -m pytest -q tests/scripts
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror import Key, Mirror


@pytest.fixture(scope="session", name="keys")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Key, Key]]:
    """The archive's key, and somebody else's."""
    keys = tuple(Key(tmp_path_factory.mktemp(name)) for name in ("archive", "other"))
    yield keys
    for key in keys:
        key.close()


@pytest.fixture(name="mirror")
def _mirror(tmp_path: Path, keys: tuple[Key, Key]) -> Iterator[Mirror]:
    with Mirror(tmp_path / "mirror", keys[0]) as mirror:
        yield mirror
