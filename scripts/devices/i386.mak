# To see that it compiles: the board that x86_64 has, too
CONFIG_Q35=y
