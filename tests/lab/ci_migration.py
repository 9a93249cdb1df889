# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps and migration."""

from __future__ import annotations

from bench import Test

TESTS: list[Test] = []
