"""What several workers agree on, in real processes connected by gloo."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from stages.errors import NonFiniteLoss, ShardCorrupt
from train.loop.worker import Worker

COUNT = 2


def test_a_worker_alone_needs_no_connection() -> None:
    worker = Worker()
    assert worker.is_first
    assert worker.sum(2.5) == 2.5
    assert worker.gather("a") == ["a"]
    with pytest.raises(ShardCorrupt, match="broken"), worker.together():
        raise ShardCorrupt("broken")


def on_two_workers(work: Callable[[Worker, Path], None], out: Path) -> list[str]:
    """Run `work` in two processes and return what each wrote into OUT/<rank>."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(connected, (work, out, port), nprocs=COUNT)  # type: ignore[no-untyped-call]
    return [(out / str(rank)).read_text() for rank in range(COUNT)]


def connected(rank: int, work: Callable[[Worker, Path], None], out: Path, port: int) -> None:
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=COUNT)
    work(Worker(rank, COUNT), out / str(rank))
    torch.distributed.destroy_process_group()


def agree(worker: Worker, out: Path) -> None:
    said = [str(worker.is_first), str(worker.sum(worker.rank + 1.0)), str(worker.gather({"rank": worker.rank}))]
    for failing, error in ((1, ShardCorrupt("of 1")), (0, NonFiniteLoss("of 0")), (1, KeyboardInterrupt())):
        try:
            with worker.together():
                if worker.rank == failing:
                    raise error
        except (ShardCorrupt, NonFiniteLoss, KeyboardInterrupt) as raised:
            said.append(repr(raised))
    with worker.together():
        said.append("went on")
    out.write_text("\n".join(said))


def test_what_stops_one_worker_stops_all_with_the_same_error(tmp_path: Path) -> None:
    first, second = (said.splitlines() for said in on_two_workers(agree, tmp_path))
    assert (first[0], second[0]) == ("True", "False")
    expected = ["3.0", "[{'rank': 0}, {'rank': 1}]"]
    expected += ["ShardCorrupt('of 1')", "NonFiniteLoss('of 0')", "KeyboardInterrupt()", "went on"]
    assert first[1:] == second[1:] == expected
