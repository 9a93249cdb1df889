# To see that it compiles: the board that 64-bit Arm has, too
CONFIG_ARM_VIRT=y
