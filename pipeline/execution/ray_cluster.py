"""A Ray cluster for the time of a block: joined or started, asked what it has, and left as it was found.

    connected ──> variables of the environment, `ray.init` ──> the block ──> `ray.shutdown`

What Ray changes of this process while it starts (its variables, what SIGTERM does, stderr) is as before once it has.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.doctor.finding import Finding, Level
from pipeline.execution.resources import Resources, this_machine
from stages.errors import CondsetError, ConfigError, WorkerError

KNOCK_SECONDS = 10.0
"""A cluster that is there answers sooner."""
VARIABLES = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about GPUs on CPU tasks
    # Ray Data's own actors trip an error message of Ray's core that no user can act on (its issue 53727).
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Of the environment that Ray starts in."""
START_SECONDS = 120
"""What each part of a local instance may take to start: Ray's own 5 to 60 s are too short on a busy machine."""
SOCKET_TOO_LONG = "AF_UNIX path length"
"""How Ray says that its directory, below TMPDIR, has too long a path for a socket's 107 bytes."""
VARIABLES_OF_LOCAL = {
    # Under `uv run` Ray would make each worker build the environment again from a copy of the working directory.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_gcs_server_port_wait_time_s": str(START_SECONDS),
    "RAY_gcs_rpc_server_connect_timeout_s": str(START_SECONDS),
    "RAY_gcs_server_request_timeout_seconds": str(START_SECONDS),
    "RAY_raylet_start_wait_time_s": str(START_SECONDS),
    "RAY_raylet_client_num_connect_attempts": str(START_SECONDS),  # one a second
    "RAY_agent_register_timeout_ms": str(START_SECONDS * 1000),
    "RAY_worker_register_timeout_seconds": str(START_SECONDS),
}
"""Of the environment that a local instance starts in."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Join the cluster at `address`, or start a local one, while the block runs; ConfigError if there is none.

    A connection that this process has already serves as well, and stays. Raises WorkerError if none can be started.
    """
    # Ray reads its variables when it is imported and when it starts, and its processes inherit them.
    with _environment(VARIABLES if address else VARIABLES | VARIABLES_OF_LOCAL):
        import ray

        was_there = ray.is_initialized()
        _connect(address)
    try:
        yield
    finally:
        if not was_there:
            ray.shutdown()


def _connect(address: str | None) -> None:
    """Raise ConfigError if there is no cluster, WorkerError if a local one does not start."""
    import ray

    try:
        _knock(address)
        if ray.is_initialized():
            return
        with _stderr_closed(), _sigterm_kept(), _ended_if_failed():
            ray.init(
                address=address or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises a bare Exception where one of its processes does not start
        first_line = str(error).partition("\n")[0]
        if SOCKET_TOO_LONG in first_line:
            variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "TMPDIR")
            raise ConfigError(
                f"{variable} must be a directory with a short path, below which Ray makes sockets, got "
                f"{os.environ.get(variable, tempfile.gettempdir())}; set {variable}=/tmp, or use --executor inline"
            ) from error
        if address is None:
            raise WorkerError(
                f"a local Ray instance must start, got {type(error).__name__}: {first_line}; run again when the "
                "machine is less busy, or use --executor inline"
            ) from error
        raise ConfigError(
            f"--ray-address must lead to a running Ray cluster, got {address!r} ({first_line}); start one with "
            "`ray start --head`, or use --executor inline"
        ) from error


@contextlib.contextmanager
def _ended_if_failed() -> Iterator[None]:
    """End the processes that Ray has started in the block if that fails: Ray forgets them, and they go on."""
    import psutil
    import ray

    this, home = psutil.Process(), str(Path(ray.__file__).parent)
    before = set(this.children(recursive=True))
    try:
        yield
    except BaseException:
        ray.shutdown()
        for child in set(this.children(recursive=True)) - before:
            with contextlib.suppress(psutil.Error):
                if any(home in part for part in child.cmdline()):  # other threads start processes of their own
                    child.kill()
                    child.wait()
        raise


def _knock(address: str | None) -> None:
    """Connect to a cluster's "host:port" and hang up: Ray itself would wait minutes for one that is not there."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if separator and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@contextlib.contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set those of the variables that are not set while the block runs."""
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep what SIGTERM does in this process: Ray sets a handler that ends it at once, with nothing kept."""
    if threading.current_thread() is not threading.main_thread():  # Ray sets none there
        yield
        return
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Send what compiled code prints on stderr to nowhere; Ray's core announces its log level there, below Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def driver_directory(home: str) -> Iterator[None]:
    """Work where the driver does while the block runs, if that is there: paths are relative to its working directory,
    which a cluster's nodes may share.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(FileNotFoundError):
            stack.enter_context(contextlib.chdir(home))
        yield


def cluster_resources() -> Resources:
    import ray

    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    node_cpus = [node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]]
    return Resources(
        cpus=total.get("CPU", 0.0),
        gpus=total.get("GPU", 0.0),
        node_cpus=min((cpus for cpus in node_cpus if cpus), default=1),
    )


@contextlib.contextmanager
def lost_workers_explained() -> Iterator[None]:
    """Say in one line that the cluster lost workers for good; an exception out of our code is a bug and passes."""
    import ray

    lost = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
    try:
        yield
    except lost as error:
        first_line = str(error).strip().partition("\n")[0]
        raise WorkerError(
            f"Ray has lost a worker for good ({first_line}); run again to go on with what is left, and if that happens "
            "again use fewer workers or machines with more memory"
        ) from error


def examine_ray() -> Finding:
    """Start a local Ray instance, run a task on it and say what happened: `condset doctor --ray`."""
    try:
        with connected(None), lost_workers_explained():
            import ray

            ray.get(ray.remote(num_cpus=0.01)(this_machine).remote())
            resources = cluster_resources()
    except CondsetError as error:
        return Finding("Ray run", Level.PROBLEM, str(error), "use --executor inline until it starts")
    return Finding("Ray run", Level.OK, f"a task ran; {resources.cpus:g} CPUs, {resources.gpus:g} GPUs")
