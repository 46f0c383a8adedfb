"""Hardware descriptions: what ships loads; a user's file is taken or refused with line and key."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dory import targets
from dory.errors import UserError
from dory.sim.iss.params import IssParams
from dory.targets.check import line_of

GAP8 = (Path(targets.__file__).parent / "gap8.toml").read_text()


def load(tmp_path: Path, text: str, name: str = "mine.toml") -> targets.Target:
    path = tmp_path / name
    path.write_text(text)
    return targets.load(str(path))


def refusal(tmp_path: Path, text: str, name: str = "mine.toml") -> str:
    with pytest.raises(UserError) as error:
        load(tmp_path, text, name)
    return str(error.value)


@pytest.mark.parametrize("name", targets.names())
def test_shipped_targets_pass_the_check_of_users_files(name: str, tmp_path: Path) -> None:
    target = targets.load(name)
    text = (Path(targets.__file__).parent / f"{name}.toml").read_text()
    mine = load(tmp_path, text.replace(f'name = "{name}"', 'name = "mine"'))
    assert mine.timing == target.timing and mine.power == target.power and mine.l1_budget == target.l1_budget
    assert IssParams.of(mine) == IssParams.of(target)


def test_base_is_merged_key_by_key(tmp_path: Path) -> None:
    mine = load(tmp_path, 'base = "gap8-gvsoc"\n[l1]\nbytes = 131072\n[timing]\nmulh = 7\n')
    base = targets.load("gap8-gvsoc")
    assert mine.name == "mine" and mine.l1.bytes == 131072 and mine.l1.stack_core0 == base.l1.stack_core0
    assert mine.timing["mulh"] == 7 and mine.timing["icache_bytes"] == base.timing["icache_bytes"]
    assert mine.l1_budget == base.l1_budget + 65536


def test_targets_can_be_sent_to_other_processes() -> None:
    target = targets.load("gap8")
    again = pickle.loads(pickle.dumps(target))
    assert again == target
    with pytest.raises(TypeError):
        again.timing["mulh"] = 1


def test_fewer_cores_leave_their_stacks() -> None:
    target = targets.load("gap8")
    two = target.with_cores(2)
    assert two.cluster.cores == 2 and two.l1_budget == target.l1_budget + 6 * target.l1.stack_worker
    assert target.with_cores(8) == target
    for cores in (0, 9):
        with pytest.raises(UserError, match="--cores"):
            target.with_cores(cores)


# Text after `base = "gap8"` (line 1), the line that is at fault, and words of the message.
FAULTS = {
    "unknown section": ("[l4]\nbytes = 1\n", 2, ("l4", "unknown", "l3")),
    "unknown key": ("[l1]\nbytes = 65536\nbanks = 3\n", 4, ("[l1] banks", "unknown", "stack_core0")),
    "unknown top key": ("cores = 8\n", 2, ("cores", "unknown")),
    "unknown timing key": ("[timing]\n# a comment\nmul_h = 5\n", 4, ("mul_h", "unknown")),
    "text for a number": ('[l1]\nbytes = "64k"\n', 3, ("[l1] bytes", "'64k'", "whole number")),
    "fraction": ("[l2]\nbytes = 1000.5\n", 3, ("[l2] bytes", "whole number")),
    "negative": ("[l1]\nstack_worker = -1\n", 3, ("stack_worker", "-1")),
    "true": ("[cluster]\ncores = true\n", 3, ("cores", "True")),
    "no cores": ("[cluster]\ncores = 0\n", 3, ("cores", "1 to 8")),
    "too many cores": ("[cluster]\ncores = 9\n", 3, ("cores", "1 to 8")),
    "dotted": ("timing.mulh = 0\n", 2, ("[timing] mulh", "1 to")),
    "not a section": ("l1 = 3\n", 2, ("l1", "section")),
    "odd memory": ("[l1]\nbytes = 65537\n", 3, ("multiple of 64",)),
    "alignment": ("[l3]\nalignment = 3\n", 3, ("power of two",)),
    "banks": ("[timing]\nl1_banks = 12\n", 3, ("power of two",)),
    "stacks eat L1": ("[l1]\nbytes = 4096\n", 3, ("[l1] bytes", "nothing is left")),
    "runtime eats L2": ("[l2]\nruntime = 600000\n", 2, ("[l2] bytes", "nothing is left")),
    "overlap": ("[timing]\nl2_base = 0x10000040\n", 3, ("l2_base", "overlap")),
    "clock": ("[clocks]\nfc_khz = 0\n", 3, ("fc_khz",)),
    "NaN": ("[timing]\nicache_miss = nan\n", 3, ("icache_miss",)),
    "infinite": ("[timing]\nicache_miss = inf\n", 3, ("icache_miss",)),
    "cache": ("[timing]\nicache_bytes = 1000\n", 3, ("icache_bytes", "multiple")),
    "DMA floor": ("[timing]\ndma_floor = 3\n", 3, ("dma_floor", "dma_wake")),
    "law is a number": ("[timing]\nram_read_cl = 3\n", 3, ("ram_read_cl", "table")),
    "law lacks a key": ("[timing]\nram_read_cl = { setup = 3 }\n", 3, ("ram_read_cl", "per_byte")),
    "law with more": ("[timing.ram_read_cl]\nsetup = 3\nper_byte = 1\nlatency = 3\n", 2, ("latency", "floor")),
    "negative law": ("[timing]\nram_write_cl = { setup = 3, per_byte = -1 }\n", 3, ("per_byte", "-1")),
    "no points": ("[power]\npoints = []\n", 3, ("points",)),
    "point lacks a key": ("[power]\npoints = [{ millivolts = 1000 }]\n", 3, ("points", "fc_khz")),
    "free energy": ("[power]\nmatrix_pj = 0\n", 3, ("matrix_pj",)),
    "name of another": ('name = "gap8"\n', 2, ("name", "gap8")),
    "name with a line break": ('name = "a\\nb"\n', 2, ("name",)),
    "empty description": ('description = ""\n', 2, ("description",)),
}


@pytest.mark.parametrize("case", FAULTS)
def test_nonsense_is_refused_with_line_and_key(case: str, tmp_path: Path) -> None:
    text, line, words = FAULTS[case]
    message = refusal(tmp_path, 'base = "gap8"\n' + text)
    assert f"mine.toml, line {line}: " in message, message
    for word in words:
        assert word in message


def test_missing_without_a_base(tmp_path: Path) -> None:
    assert "[l3] alignment" in refusal(tmp_path, GAP8.replace('"gap8"', '"mine"').replace("alignment = 4\n", ""))
    message = refusal(tmp_path, 'name = "mine"\n')
    assert "cluster" in message and 'base = "gap8"' in message
    assert "line 1" in refusal(tmp_path, 'base = "gap9"\n')


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "line 2" in refusal(tmp_path, 'base = "gap8"\n[l1\n')
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a TOML file"):
        targets.load(str(tmp_path / "bytes.toml"))
    with pytest.raises(UserError, match="no such file"):
        targets.load(str(tmp_path / "none.toml"))
    for name in ("gap9", str(tmp_path), "a\0b"):
        with pytest.raises(UserError, match="no target"):
            targets.load(name)


KEYS = st.sampled_from(["bytes", "cores", "mulh", "icache_miss", "ram_read_cl", "points", "name", "x y", "ä"])
VALUES = st.one_of(
    st.sampled_from(
        ["[]", "{}", "true", '""', "nan", "[[1]]", "{ setup = 1, per_byte = [] }", "2020-01-01", "0x10", "1e9"]
    ),
    st.integers(-(2**70), 2**70).map(str),
)
SECTIONS = st.sampled_from(["[l1]", "[timing]", "[power]", "[cluster]", "[[power.points]]", "[timing.ram_read_cl]", ""])


@given(st.lists(st.tuples(SECTIONS, KEYS, VALUES), max_size=3))
def test_random_files_load_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, ...]]
) -> None:
    text = 'base = "gap8"\n' + "".join(f'{s}\n"{k}" = {v}\n' for s, k, v in lines)
    path = tmp_path_factory.mktemp("t") / "mine.toml"
    path.write_text(text)
    try:
        target = targets.load(str(path))
    except UserError as e:
        assert "mine.toml" in str(e)
    else:
        IssParams.of(target).packed()


def test_line_of_says_where() -> None:
    text = 'a = 1\n\n[one]\n"k" = 2\n[two]\nk = 3\n[ three . sub ]\nk = 4\n[[four.list]]\nk = 5\n'
    wanted = {
        ("", "a"): 1,
        ("one", "k"): 4,
        ("two", "k"): 6,
        ("three", "sub"): 7,
        ("four", "list"): 9,
        ("two", "no"): 5,
    }
    assert {k: line_of(text, *k) for k in wanted} == wanted
    assert line_of(text, "five", "k") == 0
