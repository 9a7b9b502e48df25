"""Runs a Python program with a folder to write to, and no other process, network or right.

    python -I confined.py PROGRAM FOLDER SECONDS MEMORY FILES READABLE...

This process gives up its capabilities; Landlock leaves it FOLDER, and READABLE to read; rlimits bound it; a
seccomp filter refuses sockets, new processes, and what else reaches out of the folder. Nothing of this can
be undone. Where the kernel lacks any of it, the program does not run.

It is run as a script, and imports nothing of the package. x86_64 only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import runpy
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

Instruction: TypeAlias = tuple[int, int, int, int]
"""Of a filter: operation, how many to skip if true, if false, operand."""
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
X86_64, X32 = 0xC000003E, 0x40000000
OLDEST = 3
"""The first version of Landlock that keeps a file outside from being cut short (Linux 6.2)."""
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, CAPSET = 444, 445, 446, 126
READ_FOLDER, READ_FILE, WRITE_DEVICE, ALL = 0b1101, 0b101, 0b110, (1 << 15) - 1
"""Rights of Landlock."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
PDEATHSIG, DUMPABLE, SECCOMP, NO_NEW_PRIVS, FILTER = 1, 4, 22, 38, 2
NEWEST = 462
"""The highest number of a system call of which it is known here what it does. There are no others, as on an
older kernel: libraries do without them."""
NEVER = (
    *(41, 42, 49),  # socket, connect, bind
    *(57, 58, 272, 308),  # fork, vfork, unshare, setns
    *(129, 200, 297, 424, 434, 438),  # signals to others, and handles of them
    *(101, 256, 279, 310, 311, 312, 440, 448),  # memory of others
    *(141, 142, 144, 203, 251, 314),  # priorities and cores, of others too
    *(90, 91, 92, 93, 94, 260, 268, 452),  # modes and owners of files, which Landlock does not watch
    *(132, 188, 189, 190, 197, 198, 199, 235, 261, 280),  # their attributes and times
    *(29, 30, 31, *range(64, 72), 220, *range(240, 246)),  # memory and queues that processes share
    *(103, 248, 249, 250, 254, 298, 300, 321, 323),  # keyrings, the kernel's log, watching others, bpf
    *(319, 447, 425),  # memory that belongs to no process, and io_uring, which no filter sees
)
CLONE, CLONE3, KILL_ONE, TGKILL, SOCKETPAIR, PRLIMIT, PRCTL = 56, 435, 62, 234, 53, 302, 157
CLONE_THREAD, STREAM = 0x10000, 0o1 | 0o4000 | 0o2000000
"""The flag of a clone that is a thread; types of a socketpair that can't send to an address."""
libc = ctypes.CDLL(None, use_errno=True)


def filter_program(arch: int, refused: Iterable[int], more: Sequence[Instruction] = ()) -> bytes:
    """A seccomp program that refuses these calls, and calls by the numbers of other architectures."""
    program: list[Instruction] = [
        (LOAD, 0, 0, 4), (EQUAL, 1, 0, arch), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0),
        (AT_LEAST, 0, 1, X32), (RETURN, 0, 0, REFUSE), *more,
    ]  # fmt: skip
    for number in refused:
        program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE)]
    return b"".join(struct.pack("HBBI", *one) for one in [*program, (RETURN, 0, 0, ALLOW)])


def own_filter() -> bytes:
    """Of this process: threads, and signals to itself, are all that it may start and send."""
    more: list[Instruction] = [
        (AT_LEAST, 0, 1, NEWEST + 1), (RETURN, 0, 0, UNKNOWN),
        (EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, UNKNOWN),  # its flags are out of sight; libc then takes clone
        *_unless(CLONE, 0, ANY_BIT, CLONE_THREAD),
        *_unless(KILL_ONE, 0, EQUAL, os.getpid()),
        *_unless(TGKILL, 0, EQUAL, os.getpid()),
        *_unless(PRLIMIT, 0, EQUAL, 0),
        *_where(SOCKETPAIR, 1, ANY_BIT, 0xFFFFFFFF ^ STREAM),
        *_where(PRCTL, 0, EQUAL, PDEATHSIG), *_where(PRCTL, 0, EQUAL, DUMPABLE),
    ]  # fmt: skip
    return filter_program(X86_64, NEVER, more)


def _unless(call: int, argument: int, test: int, value: int) -> list[Instruction]:
    """Refuses the call, unless its argument (counted from 0; the lower 32 bits) passes the test."""
    first, *_, again = _where(call, argument, test, value)
    return [first, (LOAD, 0, 0, 16 + 8 * argument), (test, 1, 0, value), (RETURN, 0, 0, REFUSE), again]


def _where(call: int, argument: int, test: int, value: int) -> list[Instruction]:
    """Refuses the call where its argument passes the test."""
    return [
        (EQUAL, 0, 4, call), (LOAD, 0, 0, 16 + 8 * argument), (test, 0, 1, value), (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, 0),
    ]  # fmt: skip


def landlock_version() -> int:
    """0 where the kernel has none."""
    found: int = libc.syscall(CREATE_RULESET, None, 0, 1)
    return max(found, 0)


def main(program: str, folder: str, seconds: str, memory: str, files: str, *readable: str) -> None:
    parent = os.getppid()
    _call("prctl", libc.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:  # which has ended meanwhile
        os._exit(1)
    _call("prctl", libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
    _restrict_files(folder, [program, *readable])
    cpu = int(seconds)
    limits = {"CPU": (cpu, cpu + 1), "AS": int(memory), "FSIZE": int(files), "NOFILE": 64, "CORE": 0}
    for name, limit in limits.items():
        both = limit if isinstance(limit, tuple) else (limit, limit)
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), both)
    _call("capset", libc.syscall(CAPSET, struct.pack("II", 0x20080522, 0), bytes(24)))
    code = own_filter()
    held = ctypes.create_string_buffer(code, len(code))
    pointer = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(held))
    _call("seccomp", libc.prctl(SECCOMP, FILTER, pointer, 0, 0))
    sys.argv = ["program.py"]
    sys.path[:] = [*(path for path in sys.path if path), folder]
    runpy.run_path(program, run_name="__main__")


def _restrict_files(folder: str, readable: Sequence[str]) -> None:
    if landlock_version() < OLDEST:
        raise OSError(errno.ENOSYS, f"Landlock {landlock_version()} is older than {OLDEST}")
    attributes = struct.pack("Q", ALL)
    rules = _call("landlock", libc.syscall(CREATE_RULESET, attributes, len(attributes), 0))
    allowed = [(path, READ_FOLDER if Path(path).is_dir() else READ_FILE) for path in readable]
    for path, rights in [*allowed, *((path, WRITE_DEVICE) for path in DEVICES), (folder, ALL)]:
        with suppress(FileNotFoundError):
            one = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", rights, one)
            _call("landlock", libc.syscall(ADD_RULE, rules, 1, rule, 0))
            os.close(one)
    _call("landlock", libc.syscall(RESTRICT_SELF, rules, 0))
    os.close(rules)


def _call(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
