# The lab's LoongArch guests: the board, and the devices that its tests use.  What
# else a virt machine could have takes most of the build.
CONFIG_LOONGARCH_VIRT=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
