"""A piece of work killed before every step it takes in the file system, each time in a copy of the same directory."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_PROGRAM = """
import os, shutil, signal, sys
from tests.pipeline.killed_everywhere import until_one_gets_through

former, root = sys.argv[1:3]
{work}

def run(data, deadly):
    taken = 0
    def step(event, arguments):
        nonlocal taken
        writes = event in ("os.link", "os.rename", "os.remove", "os.mkdir") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if writes and str(arguments[0]).startswith(data):
            if taken == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
    sys.addaudithook(step)
    work(data, *sys.argv[3:])

def in_a_copy(deadly):
    data = f"{{root}}/{{deadly:03d}}"
    shutil.copytree(former, data)
    run(data, deadly)

sys.exit(until_one_gets_through(in_a_copy, -signal.SIGKILL))
"""
"""Python tells a hook of every file that is about to be made, linked, renamed or removed: there the process dies."""


def until_one_gets_through(run: Callable[[int], object], killed: int) -> int:
    """Call `run` with 0, 1, 2, ... in a child process each, while the child ends with the status `killed`.

    Returns the status of the one that does not: 0, or 1 after an error, which is printed.
    """
    number, status = 0, killed
    while status == killed:
        child = os.fork()
        if child == 0:
            try:
                run(number)
            except BaseException:  # noqa: BLE001  whatever it is, the child must not go on as if it were its parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        number += 1
    return status


def killed_everywhere(former: Path, root: Path, work: str, *arguments: object) -> list[Path]:
    """Run `work(data, *arguments)`, defined in Python source, on copies of `former`, each killed a step later.

    Returns the copies in the order of their deaths; the last one got through.
    """
    program = [sys.executable, "-c", _PROGRAM.format(work=work), str(former), str(root), *map(str, arguments)]
    process = subprocess.run(program, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return sorted(root.iterdir())
