/*
 * Another kernel without a reset: kexec KERNEL COMMAND-LINE
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/kexec.h>

int main(int argc, char **argv)
{
    int kernel;

    if (argc != 3) {
        fprintf(stderr, "usage: kexec KERNEL COMMAND-LINE\n");
        return 2;
    }
    kernel = open(argv[1], O_RDONLY);
    if (kernel < 0) {
        perror(argv[1]);
        return 1;
    }
    if (syscall(SYS_kexec_file_load, kernel, -1, strlen(argv[2]) + 1, argv[2],
                KEXEC_FILE_NO_INITRAMFS)) {
        perror("kexec: kexec_file_load");
        return 1;
    }
    reboot(RB_KEXEC);
    perror("kexec: reboot");
    return 1;
}
