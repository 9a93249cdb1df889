# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux guests under a stepping debugger."""

from __future__ import annotations

from bench import Test

TESTS: list[Test] = []
