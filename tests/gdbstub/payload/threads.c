/*
 * A process of several threads: the first calls `meet` again and again, the
 * others count.  What they count with is in one page, with room for breakpoints
 * that nobody comes to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <pthread.h>
#include <stddef.h>

#define THREADS 4

unsigned long counts[THREADS];
int ending;

void spin(unsigned long *count);
void meet(void);

asm("       .text\n"
    "       .balign 4096\n"
    "       .globl  spin, inner, meet, room\n"
    "spin:  incq    (%rdi)\n"
    "       call    inner\n"
    "       cmpl    $0, ending(%rip)\n"
    "       je      spin\n"
    "       ret\n"
    "inner: nop\n"
    "       ret\n"
    "meet:  nop\n"
    "       ret\n"
    "room:  .fill   2048, 1, 0x90\n"
    "       .balign 4096\n");

static void *count(void *arg)
{
    spin(arg);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, count, &counts[i]);
    }
    while (!*(volatile int *)&ending) {
        meet();
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}
