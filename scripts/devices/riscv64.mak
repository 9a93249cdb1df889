# To see that it compiles: the board without which it does not link
CONFIG_RISCV_VIRT=y
