# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps in special places."""

from __future__ import annotations

from bench import Test

TESTS: list[Test] = []
