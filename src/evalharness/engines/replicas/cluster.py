"""Ray for one run: started on this machine and stopped at the end, or an existing cluster that is joined."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from evalharness.config.schema import RayConfig
from evalharness.engines.replicas.placement import Node
from evalharness.errors import ConfigError, EngineError, one_line
from evalharness.paths import install_command

OBJECT_STORE_BYTES = 128 * 2**20
"""Shared memory for messages; ours are a few kB. Ray's own choice is a third of the machine's memory."""
KNOCK_S = 10.0


class Cluster:
    """A connection to Ray; there is one per process."""

    def __init__(self, is_ours: bool) -> None:
        """Use `connect`."""
        self._is_ours = is_ours

    @classmethod
    def connect(cls, config: RayConfig) -> Cluster:
        """Start Ray, or join it. Must run in the main thread, with which the processes of a started Ray end.

        Raises:
            ConfigError: Ray isn't installed, or there is no cluster at `ray.address`.
            EngineError: Ray did not start.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")
        try:
            import ray
        except ImportError as e:
            raise ConfigError(
                f"engine=replicas: Ray can't be imported ({e}); `{install_command('ray')}` installs it."
            ) from e
        if ray.is_initialized():  # of a launcher: this run is itself a task of a cluster
            return cls(is_ours=False)
        try:
            with _signals_kept():
                _init(config.address)
        except (ConnectionError, ValueError) as e:
            raise ConfigError(
                f"ray.address: no Ray cluster at {config.address!r} ({one_line(e)}); "
                "`ray start --head` starts one, ray.address=null needs none, and for a cluster that asks "
                "for a token RAY_AUTH_MODE=token must be set"
            ) from e
        except Exception as e:  # Ray raises anything from OSError to RuntimeError here
            raise EngineError(f"Ray did not start: {one_line(e)}") from e
        return cls(is_ours=True)

    def nodes(self) -> list[Node]:
        """The machines that are up."""
        import ray

        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [Node(int(r.get("CPU", 0)), int(r.get("GPU", 0))) for r in alive]

    def close(self) -> None:
        """Stop Ray if it was started, or leave the cluster that was joined."""
        import ray

        if self._is_ours:
            ray.shutdown()


def _init(address: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": True, "logging_level": logging.WARNING}
    if address is not None:
        _knock(address)
        ray.init(address=address, **quiet)
        return
    ray.init(
        # Not None, which would join any cluster on this machine.
        address="local",
        num_cpus=len(os.sched_getaffinity(0)),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        # Ray's default is 15, with which an engine would wait for every other process of the machine.
        _system_config={"worker_niceness": 0},
        **quiet,
    )


def _knock(address: str) -> None:
    """Check the address first, because Ray itself would try for minutes.

    Raises:
        ConnectionError: nothing answers at host:port.
    """
    host, _, port = address.rpartition(":")
    if "//" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except OSError as e:
        raise ConnectionError(str(e)) from e


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the run's own handlers, of which Ray replaces the one for SIGTERM.

    Also start Ray's processes with SIGTERM ignored, like SIGINT: sent to the whole process group (by a batch system or
    `timeout`), it would end them, and with them this process, before the run has ended in order.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
