"""Networks: the paper's dual UNet, the column network, exact tiles, and the weights file.

To add a network, add one file; see `truez.networks.network`.
"""

from truez.networks.network import (
    Network,
    NetworkConfig,
    architecture_of,
    architectures,
    build_network,
    network_class,
)
from truez.networks.tile_sizes import tile_memory
from truez.networks.tiles import check_local, check_reach, predict, tiled

__all__ = [
    "Network",
    "NetworkConfig",
    "architecture_of",
    "architectures",
    "build_network",
    "check_local",
    "check_reach",
    "network_class",
    "predict",
    "tile_memory",
    "tiled",
]
