# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts and steps: what is held back, what is lost, what is doubled."""

from __future__ import annotations

from bench import Test

TESTS: list[Test] = []
