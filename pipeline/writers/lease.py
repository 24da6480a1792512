"""The lease of a directory: one run writes into it at a time, and a run that is gone keeps nobody out.

    OUT/.work/<id>.json   host, boot, pid, since; renewed every 10 s until the run ends
    OUT/.work             locked as well where it is local: the kernel unlocks it, however the run ends

    a lease is there ──its process has ended (same machine)────────────────> taken over at once
                     ──it runs, or the lease is renewed while one waits──> DirectoryInUse
                     ──nothing happens for 60 s, or --take-over────────────> taken over

A lease is courtesy, which spares hours of work that would be refused. Safety is that nothing published is ever replaced
by other bytes: two runs that write all the same end with one data set and one error. Readers need no lease.
"""

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pipeline.dataset.storage import Directory
from pipeline.writers.claim import SUFFIX, Claim
from pipeline.writers.process import Process, has_ended, is_of_this_machine, this_process
from stages.errors import DirectoryInUse, StorageError
from stages.locations import PARTIAL, local_path
from stages.storage.failures import Doing, storage_failures

WORK = ".work"
"""The folder of the leases; hidden, so that nobody takes it for data."""
RENEWAL_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""Six renewals."""
LOOK_SECONDS = 1.0
WITHDRAWAL_SECONDS = 2.0
"""What a run takes, at most, to see another one's lease and to withdraw its own."""
LAST_RENEWAL_SECONDS = 5.0
"""What a renewal may take that is under way when the run ends: storage that hangs is not waited for."""

_running: set[str] = set()
"""The ids of this process's own leases: one that storage did not let it remove is over all the same."""
_held: ContextVar[Mapping[str, "Lease"]] = ContextVar("held leases", default=MappingProxyType({}))


@dataclass(slots=True)
class Lease:
    """The right of this run to write into a directory, for as long as nobody has taken it over."""

    home: Directory
    claim: Claim
    _over: threading.Event = field(default_factory=threading.Event)

    def is_held(self) -> bool:
        """Whether no other run has taken over, as it may if this one seems to be gone."""
        return (self.home / WORK).exists(self.claim.file)

    def check(self) -> None:
        """Raise DirectoryInUse if another run has taken over."""
        if not self.is_held():
            raise DirectoryInUse(
                f"{self.home} must be written by this run alone, got another one that has taken over while this one "
                "stood still; look at what that one makes"
            )

    def renew(self) -> None:
        """Renew the lease until it ends or is taken over; for a thread."""
        renewals = self.claim.renewals
        while not self._over.wait(RENEWAL_SECONDS):
            with suppress(StorageError):  # the next time; whoever needs the lease finds out with `check`
                if not self.is_held():
                    return
                renewals += 1
                _write(self.home, Claim(self.claim.id, self.claim.process, self.claim.since, renewals))

    def end(self) -> None:
        """Renew no more."""
        self._over.set()


@contextmanager
def writing(
    home: Directory,
    say: Callable[[str], None],
    take_over: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Lease]:
    """Hold the lease of a directory, which is made if it is not there, while the block runs.

    Within a block of the same thread it is the same lease. `say` hears of it if another run's lease is waited for or
    taken over; with `take_over` another machine's is not waited for. Raises DirectoryInUse if another run is alive.
    """
    held = _held.get()
    if home.location in held:
        yield held[home.location]
        return
    work = home / WORK
    work.make()
    with _locked(work) as is_locked:
        mine = Claim(uuid.uuid4().hex, this_process(), datetime.now(UTC).isoformat(timespec="microseconds"))
        _running.add(mine.id)
        try:
            yield from _hold(_acquire(home, mine, is_locked, say, 0.0 if take_over else patience_seconds))
        finally:
            _running.discard(mine.id)


def _hold(lease: Lease) -> Iterator[Lease]:
    """Renew a lease until the block that it is given to ends."""
    home = lease.home
    renewing = threading.Thread(target=lease.renew, name="lease", daemon=True)
    renewing.start()
    token = _held.set({**_held.get(), home.location: lease})
    try:
        yield lease
    finally:
        _held.reset(token)
        lease.end()
        renewing.join(LAST_RENEWAL_SECONDS)
        with suppress(StorageError):  # the next run finds that this one has ended
            (home / WORK).remove(lease.claim.file)


def clear_ended(home: Directory) -> None:
    """Remove the leases of this machine's processes that have ended, of a directory that nothing else is done to."""
    ended = [claim for claim in _claims(home) if _has_ended(claim)]
    with suppress(StorageError):  # they do no harm
        for claim in ended:
            (home / WORK).remove(claim.file)
    if ended:
        (home / WORK).unmake()


def refuse_if_written(home: Directory) -> None:
    """Raise DirectoryInUse if a run is known to write into a directory: for who reads it to make more of it."""
    for claim in _claims(home):
        if _has_ended(claim) is False and claim.id not in {lease.claim.id for lease in _held.get().values()}:
            raise _in_use(home, str(claim))


def _acquire(
    home: Directory, mine: Claim, is_locked: bool | None, say: Callable[[str], None], patience_seconds: float
) -> Lease:
    """Settle with every lease that is there, then write one's own. `is_locked` is None where there are no locks."""
    others = _claims(home)
    if is_locked is False and not others:
        raise _in_use(home, "one that is just beginning or ending")
    for other in others:
        # A process that has ended may have left children that keep the lock for a moment, and never write.
        if not _is_dead(other, is_locked):
            if is_locked is False:
                raise _in_use(home, str(other))
            _outwait(home, other, say, patience_seconds)
        say(f"taking over {home} from {other}, which has ended without a word")
        (home / WORK).remove(other.file)
    _write(home, mine)
    _meet(home, mine)
    if is_locked:
        for name in (home / WORK).names():
            if name.endswith(PARTIAL) and mine.id not in name:
                (home / WORK).remove(name)
    return Lease(home, mine)


def _meet(home: Directory, mine: Claim) -> None:
    """Settle with a run that began at the same moment: DirectoryInUse unless this one goes on.

    Each writes its lease and then looks, so at least one sees the other. The later one withdraws. The earlier one waits
    for that, and withdraws itself if it does not happen: the other one had looked before there was anything to see.
    """
    stop = time.monotonic() + WITHDRAWAL_SECONDS
    while others := [other for other in _claims(home) if other.id != mine.id]:
        is_first = all((mine.since, mine.id) < (other.since, other.id) for other in others)
        if not is_first or time.monotonic() > stop:
            (home / WORK).remove(mine.file)
            raise _in_use(home, str(others[0]))
        time.sleep(WITHDRAWAL_SECONDS / 10)


def _has_ended(claim: Claim) -> bool | None:
    """Whether the run of a lease has ended; None if nobody here can tell."""
    here = this_process()
    if (claim.process.host, claim.process.boot, claim.process.pid) == (here.host, here.boot, here.pid):
        return claim.id not in _running
    return has_ended(claim.process)


def _is_dead(claim: Claim, is_locked: bool | None) -> bool:
    # Whoever has the lock is the only one of this machine, whichever container the other one was in.
    return bool(_has_ended(claim)) or bool(is_locked and is_of_this_machine(claim.process))


def _outwait(home: Directory, other: Claim, say: Callable[[str], None], patience_seconds: float) -> None:
    """Wait until another machine's lease seems to be dead; DirectoryInUse as soon as it is seen to be alive."""
    if _has_ended(other) is False:
        raise _in_use(home, str(other))
    if patience_seconds:
        say(
            f"waiting at most {patience_seconds:g} s for {other}, which may still write to {home}; --take-over does "
            "not wait"
        )
    stop = time.monotonic() + patience_seconds
    while time.monotonic() < stop:
        time.sleep(min(LOOK_SECONDS, patience_seconds / 10))
        now = next((each for each in _claims(home) if each.id == other.id), None)
        if now is None:
            return
        if now.renewals != other.renewals:
            raise _in_use(home, str(other))


def _in_use(home: Directory, who: str) -> DirectoryInUse:
    return DirectoryInUse(
        f"{home} must be written by one run at a time, got another one ({who}); let it end or stop it, then run again, "
        "or give another --out"
    )


def _claims(home: Directory) -> list[Claim]:
    """Read every lease of a directory; what cannot be read as one is being written, or is none."""
    claims = []
    for name in sorted((home / WORK).names()):
        if name.endswith(SUFFIX):
            with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
                fields = json.loads((home / WORK).read(name))
                claims.append(Claim(**fields | {"process": Process(**fields["process"])}))
    return claims


def _write(home: Directory, claim: Claim) -> None:
    (home / WORK).write(claim.file, claim.to_json())


@contextmanager
def _locked(work: Directory) -> Iterator[bool | None]:
    """Lock the folder of the leases while the block runs; False if another process has, None if nothing is locked here.

    Some network file systems lock no folders.
    """
    local = local_path(work.location)
    if local is None:
        try:
            yield None
        finally:
            work.unmake()
        return
    while True:
        descriptor, is_locked = _lock(local)
        try:
            if is_locked is False or _is_there(descriptor, local):
                yield is_locked
                break
        finally:
            if is_locked is not False:
                work.unmake()  # while it is locked: nobody else takes it for the folder of the leases
            os.close(descriptor)
        work.make()  # it was removed by the run that has just ended


def _lock(folder: Path) -> tuple[int, bool | None]:
    """Open a folder and try to lock it."""
    with storage_failures(str(folder), Doing.WRITE):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return descriptor, False
    except OSError:
        return descriptor, None
    return descriptor, True


def _is_there(descriptor: int, folder: Path) -> bool:
    """Whether what is open is still what lies under the name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    return False
