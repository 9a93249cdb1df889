/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gdb's test programs call; a bare guest says nothing and does not end. */

void *memset(void *at, int byte, unsigned long count)
{
    for (char *p = at; count--; p++) {
        *p = byte;
    }
    return at;
}

void *memcpy(void *to, const void *from, unsigned long count)
{
    const char *q = from;

    for (char *p = to; count--; p++, q++) {
        *p = *q;
    }
    return to;
}

void exit(int status)
{
    for (;;) {
    }
}

void abort(void)
{
    exit(1);
}

int printf(const char *format, ...)
{
    return 0;
}

int puts(const char *text)
{
    return 0;
}

int putchar(int c)
{
    return c;
}

int alarm(int seconds)
{
    return 0;
}

long read(int fd, void *buffer, long count)
{
    return 0;
}
