# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/qemu is made of: QEMU's source in git here, patches as files there."""
