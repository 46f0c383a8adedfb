"""One module per operator, registered here once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dory.layers.add import Add
from dory.layers.base import Layer
from dory.layers.concat import Concat
from dory.layers.conv import Conv
from dory.layers.depthwise import Depthwise
from dory.layers.grouped import GroupedConv
from dory.layers.linear import Linear
from dory.layers.linear32 import Linear32
from dory.layers.lut import Lut
from dory.layers.pad import Pad
from dory.layers.permute import Permute
from dory.layers.pool import AvgPool, MaxPool
from dory.layers.softmax import Softmax

_MODULES: tuple[Layer[Any], ...] = (
    Conv(),
    Depthwise(),
    GroupedConv(),
    Linear(),
    Linear32(),
    Add(),
    Concat(),
    MaxPool(),
    AvgPool(),
    Lut(),
    Pad(),
    Permute(),
    Softmax(),
)

LAYERS: Mapping[str, Layer[Any]] = MappingProxyType({m.op: m for m in _MODULES})

__all__ = ["LAYERS", "Layer"]
