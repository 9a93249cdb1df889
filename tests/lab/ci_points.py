# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware breakpoints and watchpoints."""

from __future__ import annotations

from bench import Test

TESTS: list[Test] = []
