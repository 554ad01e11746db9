"""The system calls a sandboxed program may not make, as a seccomp filter (BPF) for `bwrap --seccomp`.

Namespaces already hide files, processes and network. The calls refused here would get around the limits (memory that no
address space counts, new namespaces with mounts of any size) or are known ways into the kernel (sockets of all kinds
except those that programs use).
"""

import errno
import platform
import struct
from typing import NamedTuple

from evalharness.errors import TaskError

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`."""
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NEW_NAMESPACE = 0x7E020000
"""All CLONE_NEW* flags that clone() takes."""
_X32 = 0x40000000
"""x86-64 has second numbers of all system calls from here on."""


class _Machine(NamedTuple):
    """Numbers of one architecture, from the kernel's headers."""

    audit: int
    """AUDIT_ARCH_*"""
    clone: int
    sockets: tuple[int, int]
    """socket(), socketpair()"""
    refused: dict[str, int]


_CLONE3 = 435
_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6; the network namespace has no peers."""
_REFUSED_EVERYWHERE = {
    "io_uring_setup": 425,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "memfd_secret": 447,
}
_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        clone=56,
        sockets=(41, 53),
        refused={
            **{"unshare": 272, "setns": 308, "mount": 165, "umount2": 166},
            **{"pivot_root": 155, "chroot": 161, "ptrace": 101},
            **{"process_vm_readv": 310, "process_vm_writev": 311},
            **{"bpf": 321, "perf_event_open": 298, "userfaultfd": 323},
            **{"add_key": 248, "request_key": 249, "keyctl": 250},
            **{"memfd_create": 319, "shmget": 29, "msgget": 68},
        },
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        clone=220,
        sockets=(198, 199),
        refused={
            **{"unshare": 97, "setns": 268, "mount": 40, "umount2": 39},
            **{"pivot_root": 41, "chroot": 51, "ptrace": 117},
            **{"process_vm_readv": 270, "process_vm_writev": 271},
            **{"bpf": 280, "perf_event_open": 241, "userfaultfd": 282},
            **{"add_key": 217, "request_key": 218, "keyctl": 219},
            **{"memfd_create": 279, "shmget": 194, "msgget": 186},
        },
    ),
}


def seccomp_filter() -> bytes:
    """The filter for this machine, as the kernel reads it (`struct sock_filter[]`).

    Raises:
        TaskError: an unknown architecture.
    """
    name = platform.machine()
    if name not in _MACHINES:
        raise TaskError(f"no sandbox for code on {name!r}: only {', '.join(_MACHINES)}")
    machine = _MACHINES[name]
    refused = {**_REFUSED_EVERYWHERE, **machine.refused}
    program = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_IF_EQUAL, machine.audit, otherwise=0, then=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        *_unless(_IF_AT_LEAST, _X32, errno.ENOSYS),
        # The C library falls back to clone(), whose flags can be read here; clone3's are in memory.
        *_unless(_IF_EQUAL, _CLONE3, errno.ENOSYS),
        *(step for number in refused.values() for step in _unless(_IF_EQUAL, number, errno.EPERM)),
        *_sockets_of_known_families(machine.sockets),
        _step(_IF_EQUAL, machine.clone, then=0, otherwise=3),
        _step(_LOAD, _FIRST_ARGUMENT),
        *_unless(_IF_ANY_BIT, _NEW_NAMESPACE, errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(program)


def _sockets_of_known_families(calls: tuple[int, int]) -> list[bytes]:
    """Decide on sockets; continue with the call's number loaded for all else."""
    num_families = len(_FAMILIES)
    return [
        _step(_IF_EQUAL, calls[0], then=1),
        _step(_IF_EQUAL, calls[1], otherwise=num_families + 3),
        _step(_LOAD, _FIRST_ARGUMENT),
        *(_step(_IF_EQUAL, f, then=num_families - i) for i, f in enumerate(_FAMILIES)),
        _step(_RETURN, _ERROR | errno.EAFNOSUPPORT),
        _step(_RETURN, _ALLOW),
    ]


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; `then` and `otherwise` are how many to skip."""
    return struct.pack("=HBBI", code, then, otherwise, value)


def _unless(test: int, value: int, error: int) -> tuple[bytes, bytes]:
    """Refuse with `error` if the test holds, else continue."""
    return _step(test, value, then=0, otherwise=1), _step(_RETURN, _ERROR | error)
