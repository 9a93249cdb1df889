/*
 * Stand-in for QEMU's own header of this name
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_OSDEP_H
#define QEMU_OSDEP_H

/*
 * Every C file in QEMU begins by including "qemu/osdep.h".  The files tested
 * here are meant for QEMU, but must also compile without it, so this has the
 * few standard headers that they need and nothing more.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#endif /* QEMU_OSDEP_H */
