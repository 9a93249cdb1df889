/* Stand-in for QEMU's own header of this name */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kvm-model.h"
