# SPDX-License-Identifier: GPL-2.0-or-later
"""Generated streams, in lockstep with TCG."""

from __future__ import annotations

from bench import Test

TESTS: list[Test] = []
