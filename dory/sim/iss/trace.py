"""Run events as a trace that chrome://tracing and ui.perfetto.dev open."""

from __future__ import annotations

from typing import Any

from dory.sim.iss.result import RunResult

_TRACKS = {"layer": 0, "DMA in": 20, "DMA out": 21, "RAM read": 30, "RAM write": 31}
_NAMES = {0: "layers", 20: "DMA L2 -> L1", 21: "DMA L1 -> L2", 30: "RAM L3 -> L2", 31: "RAM L2 -> L3"}


def chrome_trace(result: RunResult, cluster_mhz: float = 100.0) -> dict[str, Any]:
    """The JSON object, times in microseconds; one track per core, DMA direction and RAM direction."""
    tracks: set[int] = set()
    events: list[dict[str, Any]] = []
    for e in result.events:
        track = _TRACKS.get(e.kind, 1 + e.track)
        tracks.add(track)
        events.append(
            {
                "name": e.name,
                "cat": e.kind,
                "ph": "X",
                "pid": 1,
                "tid": track,
                "ts": e.begin / cluster_mhz,
                "dur": (e.end - e.begin) / cluster_mhz,
                "args": {"cycles": e.end - e.begin, **({"bytes": e.size} if e.size else {})},
            }
        )
    names = [
        {
            "name": "thread_name",
            "ph": "M",
            "pid": 1,
            "tid": t,
            "args": {"name": _NAMES.get(t, f"core {t - 1}")},
        }
        for t in sorted(tracks)
    ]
    return {"displayTimeUnit": "ns", "traceEvents": names + events}
