from collections.abc import Callable
from typing import Any

def run(
    steps: list[Any],
    chip: tuple[int, int, int, int, int],
    loop: tuple[int, int, int, int, int, int, float],
    start: tuple[float, float, int, int],
    enter: Callable[[int, int], int] | None,
    late: tuple[bool, bool, bool],
) -> tuple[int, int, int, int, int]: ...
