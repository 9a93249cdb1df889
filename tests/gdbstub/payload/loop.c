/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * C for gdb to step through.  Tests find lines by the word in the comment at
 * their end; a loop that is to be one line is written in one.
 */

volatile unsigned long total, runs;
volatile int choice;

__attribute__((noinline)) unsigned long add(unsigned long a, unsigned long b)
{
    unsigned long sum = a + b;                          /* @add */

    total = sum;
    return sum;                                         /* @add_return */
}

__attribute__((noinline)) void nested(void)
{
    unsigned long i, j;

    total = 0;                                          /* @nested_before */
    for (i = 0; i < 100; i++) for (j = 0; j < 100; j++) total += j; /* @nested */
    runs++;                                             /* @nested_after */
}

__attribute__((noinline)) void lines(void)
{
    unsigned long i;

    total = 0;
    for (i = 0; i < 10000; i++) {                       /* @lines_head */
        total += 2;                                     /* @lines_body */
    }
    runs++;                                             /* @lines_after */
}

__attribute__((noinline)) void thousand(void)
{
    runs++;                                             /* @thousand_before */
    __asm__ volatile("li 9, 499; mtctr 9; 1: nop; bdnz 1b" ::: "9", "ctr"); /* @thousand */
    runs++;                                             /* @thousand_after */
}

__attribute__((noinline)) void calls(void)
{
    unsigned long i;

    total = 0;                                          /* @calls_before */
    for (i = 0; i < 10; i++) total = add(total, i);     /* @calls */
    runs++;                                             /* @calls_after */
}

__attribute__((noinline)) int choose(int n)
{
    switch (n) {                                        /* @choose */
    case 0: return 11;
    case 1: return 22;
    case 2: return 33;                                  /* @choose_2 */
    case 3: return 55;
    case 4: return 44;
    default: return 77;
    }
}

__attribute__((noinline)) void choices(void)
{
    choice = 2;                                         /* @choices_before */
    choice = choose(choice);                            /* @choices */
    runs++;                                             /* @choices_after */
}

__attribute__((noinline)) void forever(void)
{
    total = 0;                                          /* @forever_before */
    for (;;) total++;                                   /* @forever */
}

int main(void)
{
    for (;;) {
        nested();
        lines();
        thousand();
        calls();
        choices();
        if (runs == ~0ul) forever();
    }
}
