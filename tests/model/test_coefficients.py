"""The coefficient file belongs to the sources at hand."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest

from dory import targets
from dory.layers import LAYERS
from dory.layers.conv import DEEP_KERNEL
from dory.sim.iss.params import IssParams
from dory.sim.model import coefficients as model
from dory.testing.networks import NETWORKS
from tests.model.plans import plan_of


def test_no_kernel_has_changed_since_the_calibration() -> None:
    text = files("dory.sim.model").joinpath(model.FILE).read_text(encoding="utf-8")
    then, now = json.loads(text)["sources"], model.source_hashes()
    changed = sorted(k for k in now if now[k] != then.get(k))
    assert not changed, f"changed since `make calibrate`: {', '.join(changed)}"


def test_a_change_of_a_kernel_or_its_header_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    import shutil

    from dory.resources import csrc_dir

    copy = tmp_path / "csrc"
    shutil.copytree(csrc_dir(), copy)
    monkeypatch.setattr(model, "csrc_dir", lambda: copy)
    before = model.source_hashes()
    kernel = copy / "gap8_kernels" / "dory_lut.c"
    text = kernel.read_text()
    kernel.write_text(text + "/* a comment */\n\n")
    assert model.source_hashes() == before
    kernel.write_text(text.replace("dory_share(", "dory_share(1 + "))
    after = model.source_hashes()
    assert {k for k in before if before[k] != after[k]} == {"dory_lut"}
    common = copy / "gap8_kernels" / "dory_common.h"
    common.write_text(common.read_text() + "enum { CHANGED };\n")
    final = model.source_hashes()
    assert "dory_lut" in {k for k in after if after[k] != final[k]}
    engine = copy / "runtime" / "dory_engine.c"
    engine.write_text(engine.read_text() + "enum { CHANGED };\n")
    assert model.source_hashes()["loop"] != final["loop"]


@pytest.mark.parametrize("name", targets.names())
def test_every_target_is_calibrated(name: str) -> None:
    found = model.shipped()
    assert found.measured_on(IssParams.of(targets.load(name)))
    kernels = {x.kernel for x in LAYERS.values()}
    assert {k.split("/")[0] for k in found.kernels} == kernels | {DEEP_KERNEL, model.REPACK}
    assert {"loop", "network", *LAYERS, *(x.kernel for x in LAYERS.values())} <= set(found.lines)


def test_a_layer_that_stores_nothing_has_no_call_for_it() -> None:
    layer = plan_of(NETWORKS["two_output_net"].build(), targets.load("gap8")).layers[0]
    p, found = IssParams.of(targets.load("gap8")), model.shipped()
    stored, kept = (found.costs(replace(layer, stored=x), p) for x in (True, False))
    assert stored.tail == round(found.loop.y) > 0 and kept == replace(stored, tail=0)
