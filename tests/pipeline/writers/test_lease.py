"""One run at a time writes into a directory, and a run that is gone keeps nobody out."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from pipeline.layer import base_config
from pipeline.run import prepare
from pipeline.writers.claim import Claim
from pipeline.writers.lease import RENEWAL_SECONDS, WORK, refuse_if_written, writing
from pipeline.writers.process import Process, has_ended, this_process
from stages.errors import CondsetError, DirectoryInUse, StorageError
from stages.rehearsal.storage import rehearsal
from tests.offline import offline
from tests.pipeline.conftest import tree

ELSEWHERE = Process("another-machine", "another-boot 1", 7, 1.0)


def silent(sentence: str) -> None:
    raise AssertionError(sentence)


@pytest.fixture(params=["", "memory://"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Directory:
    return Directory(f"{request.param}{tmp_path}/out")


def leave(home: Directory, process: Process, name: str = "left", renewals: int = 0) -> None:
    """Leave a lease of a process."""
    (home / WORK).make()
    claim = Claim(name, process, "2026-11-28T01:02:03.000000+00:00", renewals)
    (home / WORK).write(claim.file, claim.to_json())


def in_thread(home: Directory, take_over: bool = False) -> Exception | None:
    """Try to write from another thread, which holds no lease of this one's."""
    caught: list[Exception] = []

    def write() -> None:
        try:
            with writing(home, silent, take_over):
                pass
        except CondsetError as error:
            caught.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    return caught[0] if caught else None


def test_a_lease_says_who_writes_and_leaves_nothing_behind(home: Directory) -> None:
    with writing(home, silent) as lease:
        (name,) = (home / WORK).names()
        said = json.loads((home / WORK).read(name))
        assert said["process"] == {
            "host": this_process().host,
            "boot": this_process().boot,
            "pid": os.getpid(),
            "started": this_process().started,
        }
        lease.check()
    assert home.names() == []
    assert [thread for thread in threading.enumerate() if thread.name == "lease"] == []


def test_while_one_run_writes_another_is_refused_in_one_line(home: Directory) -> None:
    with writing(home, silent) as lease:
        error = in_thread(home)
    assert isinstance(error, DirectoryInUse)
    assert str(error) == (
        f"{home} must be written by one run at a time, got another one ({this_process()}, "
        f"since {lease.claim.since}); let it end or stop it, then run again, or give another --out"
    )
    assert in_thread(home) is None


def test_within_a_run_the_lease_is_the_same(home: Directory) -> None:
    with writing(home, silent) as outer, writing(home, silent) as inner:
        assert inner is outer
        refuse_if_written(home)


def test_who_only_reads_to_make_more_of_it_is_told_too(home: Directory) -> None:
    parent = psutil.Process().parent()
    assert parent is not None
    leave(home, replace(this_process(), pid=parent.pid, started=parent.create_time()))
    with pytest.raises(DirectoryInUse, match="must be written by one run at a time"):
        refuse_if_written(home)


def test_a_lease_that_this_process_could_not_remove_keeps_it_out_no_more(home: Directory) -> None:
    leave(home, this_process())
    refuse_if_written(home)
    with writing(home, lambda said: None, patience_seconds=0):
        assert len([name for name in (home / WORK).names() if name.endswith(".json")]) == 1


def test_a_run_that_was_killed_is_taken_over_at_once(home: Directory, tmp_path: Path) -> None:
    said: list[str] = []
    leave(home, replace(this_process(), pid=2**22 + 1))
    (home / WORK).write("left.json.123.partial", b"")
    with writing(home, said.append):
        assert len([name for name in (home / WORK).names() if name.endswith(".json")]) == 1
    assert said == [
        f"taking over {home} from process {2**22 + 1} on {this_process().host}, since "
        "2026-11-28T01:02:03.000000+00:00, which has ended without a word"
    ]


def test_a_lease_of_a_run_that_was_killed_when_all_was_done_goes_with_the_next_look(data_set: Path) -> None:
    config = base_config(Directory(str(data_set)), read_manifest(Directory(str(data_set))))
    before = tree(data_set)
    leave(Directory(str(data_set)), replace(this_process(), pid=2**22 + 1))
    assert prepare(config, Directory(str(data_set)), offline()).shards_made == 0
    assert tree(data_set) == before
    assert not (data_set / WORK).exists()


def test_a_number_that_another_process_has_by_now_keeps_nobody_out(home: Directory) -> None:
    leave(home, replace(this_process(), started=1.0))
    with writing(home, lambda sentence: None):
        pass


def test_another_machine_is_waited_for_and_then_taken_over(home: Directory) -> None:
    said: list[str] = []
    leave(home, ELSEWHERE)
    with writing(home, said.append, patience_seconds=0.2) as lease:
        lease.check()
    who = "process 7 on another-machine, since 2026-11-28T01:02:03.000000+00:00"
    assert said == [
        f"waiting at most 0.2 s for {who}, which may still write to {home}; --take-over does not wait",
        f"taking over {home} from {who}, which has ended without a word",
    ]


def test_another_machine_that_gives_a_sign_of_life_is_left_alone(home: Directory) -> None:
    leave(home, ELSEWHERE)
    renewal = threading.Timer(0.3, leave, (home, ELSEWHERE, "left", 1))
    renewal.start()
    with pytest.raises(DirectoryInUse, match="process 7 on another-machine"), writing(home, lambda said: None):
        pass
    renewal.join()
    assert (home / WORK).names() == ["left.json"]


def test_another_machine_that_ends_meanwhile_is_followed(home: Directory) -> None:
    leave(home, ELSEWHERE)
    end = threading.Timer(0.3, (home / WORK).remove, ("left.json",))
    end.start()
    with writing(home, lambda said: None):
        pass
    end.join()


def test_take_over_waits_for_no_other_machine_and_never_takes_from_a_process_that_runs(home: Directory) -> None:
    leave(home, ELSEWHERE)
    said: list[str] = []
    with writing(home, said.append, take_over=True):
        assert len(said) == 1
        assert isinstance(in_thread(home, take_over=True), DirectoryInUse)


def test_a_run_that_was_taken_over_is_told(home: Directory) -> None:
    with writing(home, silent) as lease:
        (home / WORK).remove(lease.claim.file)
        assert not lease.is_held()
        with pytest.raises(DirectoryInUse, match=r"must be written by this run alone, got another one that has taken"):
            lease.check()


def test_of_two_that_begin_at_once_the_first_goes_on(tmp_path: Path) -> None:
    with rehearsal() as store:
        home = Directory(store.url("one", "out"))
        pause = store.script("one").pause(2)  # it has looked for leases, and is about to write its own
        errors: list[Exception | None] = []
        slow = threading.Thread(target=lambda: errors.append(in_thread(home)))
        slow.start()
        assert pause.reached()
        with writing(Directory(store.url("two", "out")), silent):
            pause.go_on()
            slow.join()
        (error,) = errors
        assert isinstance(error, DirectoryInUse)
        assert store.files == {}


def test_what_cannot_be_read_as_a_lease_keeps_nobody_out(home: Directory) -> None:
    (home / WORK).make()
    for number, content in enumerate((b"", b"[]", b"{}", b'{"process": 3}', b"\xff")):
        (home / WORK).write(f"{number}.json", content)
    with writing(home, silent):
        pass


def test_leases_are_renewed_often_enough_to_be_seen_alive() -> None:
    assert RENEWAL_SECONDS <= 10


def test_a_directory_without_rights_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    home = Directory(str(tmp_path / "taken/out"))
    with pytest.raises(StorageError, match=r"taken/out/\.work must be writable, got"), writing(home, silent):
        pass


def test_the_kernel_frees_the_lock_of_a_process_that_is_killed(tmp_path: Path) -> None:
    home = Directory(str(tmp_path / "out"))
    program = (
        "import sys, time\nfrom pipeline.dataset.storage import Directory\nfrom pipeline.writers.lease import writing\n"
        "with writing(Directory(sys.argv[1]), print):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryInUse, match=rf"process {writer.pid} on "), writing(home, silent):
            pass
        writer.send_signal(signal.SIGKILL)
        writer.stdout.read()
        said: list[str] = []
        with writing(home, said.append):  # it is not even waited for by its parent
            assert "which has ended without a word" in said[0]
    assert tree(tmp_path / "out") == {}


def test_of_another_machine_nobody_here_can_tell() -> None:
    assert has_ended(ELSEWHERE) is None
    assert has_ended(replace(this_process(), boot="another-boot 1")) is None
    assert has_ended(this_process()) is False
    assert has_ended(replace(this_process(), pid=2**22 + 1)) is True
