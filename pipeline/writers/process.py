"""Which process holds a lease, and whether it still runs, as far as that can be told from here.

    host, boot, pid, started ──is it this machine, since it was last started?──> runs │ has ended │ nobody here can tell

`boot` tells one start of a machine from another, and one container's numbers of processes from another's.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of some machine."""

    host: str
    boot: str
    pid: int
    started: float
    """In seconds since 1970: a number is given to another process after a while."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Process:
    """The process that asks."""
    return Process(gethostname(), this_boot(), os.getpid(), _started(os.getpid()))


def this_boot() -> str:
    """The machine's start and the numbering of its processes; "" where the kernel tells neither."""
    with suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    return ""


def is_of_this_machine(process: Process) -> bool:
    """Whether a process is, or was, of this machine, in whichever container."""
    return process.host == gethostname() or process.boot.partition(" ")[0] == this_boot().partition(" ")[0] != ""


def has_ended(process: Process) -> bool | None:
    """Whether a process has ended; None if it is another machine's, of which nobody here can tell."""
    if (process.host, process.boot) != (gethostname(), this_boot()):
        return None  # of the same name may be a container, or this machine before it was started anew
    started = _started(process.pid)
    return started == 0 or abs(started - process.started) > 1


def _started(pid: int) -> float:
    """When a process was started; 0 if there is none, or only what is left until its parent takes notice."""
    import psutil

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return 0.0
