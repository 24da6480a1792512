"""A run that is killed before or after any step that puts a file in its place goes on to the same bytes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import Make, Run, tree

PUBLISHED = "link"
PUT_IN_PLACE = "replace"
FILES = [
    (PUT_IN_PLACE, "LEASE"),  # to list
    (PUBLISHED, "0000000.parquet"),
    (PUBLISHED, "index.json"),
    (PUT_IN_PLACE, "LEASE"),  # to make shards
    (PUBLISHED, "dataset.json"),
    (PUBLISHED, "0000000.tar"),
    (PUBLISHED, "0000000.json"),
    (PUT_IN_PLACE, "rejected.jsonl"),
    (PUT_IN_PLACE, "shards.jsonl"),
    (PUT_IN_PLACE, "keys.npy"),
    (PUT_IN_PLACE, "README.md"),
    (PUT_IN_PLACE, "dataset.json"),
]
"""What a run writes, in this order; each is synced, published or put in place, and then its folder is synced."""

KILLED_AT_EVERY_STEP = """
import os, sys
from functools import partial
from pathlib import Path
import cv2, torch  # once for all the processes that are to die
from pipeline.config import PrepareConfig
from pipeline.environment import Environment
from pipeline.execution.inline import InlineExecutor
from pipeline.run import prepare
from pipeline.dataset.storage import Directory
from stages.weights.store import WeightsStore
from tests.pipeline.killed_everywhere import until_one_gets_through

config, root = PrepareConfig.model_validate_json(sys.argv[1]), sys.argv[2]

def run(moment, deadly):
    taken = []
    def mortal(step):
        def take(*arguments):
            taken.append([step.__name__, *(Path(each).name for each in arguments[1:])])
            if len(taken) > deadly and moment == "before":
                os._exit(9)
            step(*arguments)
            if len(taken) > deadly:
                os._exit(9)
        return take
    os.fsync, os.link, os.replace, os.unlink = map(mortal, (os.fsync, os.link, os.replace, os.unlink))
    out = Directory(f"{root}/{moment}{deadly}")
    prepare(config, out, Environment(InlineExecutor(), WeightsStore(allow_network=False)))
    print(*(" ".join(each) for each in taken), sep=",", flush=True)

for moment in ("before", "after"):
    if status := until_one_gets_through(partial(run, moment), 9):
        sys.exit(status)
"""


@pytest.mark.slow
def test_killed_before_and_after_each_step_a_run_goes_on_to_the_same_bytes(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    # One shard: the commits of two may overlap, and then no number means the same step every time.
    config = make_config(source={"kind": "synthetic", "count": 3, "width_pixels": 96, "height_pixels": 80})
    run_inline(config, tmp_path / "whole")
    whole = tree(tmp_path / "whole")
    program = [sys.executable, "-c", KILLED_AT_EVERY_STEP, config.model_dump_json(), str(tmp_path / "killed")]
    process = subprocess.run(program, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    steps = [
        step
        for how, name in FILES
        for step in ["fsync", f"{how} {name}", "fsync", *(["unlink"] if how == PUBLISHED else [])]
    ]
    taken = re.sub("[0-9a-f]{32}.json", "LEASE", process.stdout)
    assert taken.splitlines() == [",".join(steps)] * 2

    caught_half_written = set()
    for moment in ("before", "after"):
        for step in range(len(steps)):
            out = tmp_path / f"killed/{moment}{step}"
            left = {name: content for name, content in tree(out).items() if not name.startswith(".work/")}
            half_written = {name for name in left if name.endswith(".partial")}
            caught_half_written |= {name.removesuffix(".partial").rpartition(".")[0] for name in half_written}
            there = {name: left[name] for name in left.keys() - half_written - {"dataset.json"}}
            assert there == {name: whole[name] for name in there}, (moment, step)
            assert "records/0000000.json" not in there or "shards/0000000.tar" in there, (moment, step)
            assert left.get("dataset.json") != whole["dataset.json"] or left == whole, (moment, step)
            run_inline(config, out)
            assert tree(out) == whole, (moment, step)
    assert caught_half_written == whole.keys()
