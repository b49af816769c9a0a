"""How a freshly forked process gives up everything before it runs a student's code. Linux; stands alone.

The process that calls this was forked from a server that has imported NumPy and torch and has never seen a
submission. `new_namespaces` gives it process ids, mounts, network, IPC and host name of its own; `lock_down` then takes
away files (a private folder of limited size, no /proc), memory, time, the user id, every capability, and with a seccomp
filter the system calls for new processes, programs, sockets, tracing and mounting. Nothing inside can undo it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

# linux/sched.h
_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
_CLONE_NEWIPC, _CLONE_NEWPID, _CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
_CLONE_THREAD = 0x00010000
# linux/mount.h
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
# linux/prctl.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38

# System calls that no coursework needs, as (x86-64, arm64) numbers; None where the machine has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "socketpair": (53, 199), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsmount": (432, 432), "mount_setattr": (442, 442),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # memory that no limit on the process counts, and objects of the kernel's that outlive the process
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180),
    # how the kernel shares out processors: a process that lets itself wait would stop the clock
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122), "setpriority": (141, 140), "ioprio_set": (251, 30),
}  # fmt: skip
_CLONE, _CLONE3, _PRCTL = (56, 220), (435, 435), (157, 167)
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class ContainmentError(RuntimeError):
    """A protection could not be put in place, so the student's code must not run."""


def _must(result: int, what: str) -> None:
    if result != 0:
        raise ContainmentError(f"{what}: {os.strerror(ctypes.get_errno())}")


def new_namespaces() -> None:
    """Leave the server's namespaces; the next forked child is process 1 of a new process namespace.

    Raises:
        ContainmentError: the kernel refuses.
    """
    flags = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWNET | _CLONE_NEWUTS | _CLONE_NEWCGROUP
    _must(_libc.unshare(flags), "new namespaces")
    _must(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")


def lock_down(*, limits: dict[str, Any], uid: int | None, mounts: bool, folder: str) -> None:
    """Give up everything that a student's function does not need.

    Args:
        limits: `memory_mb`, `cpu_seconds`, `disk_mb`, `processes`, in a dict because it comes as JSON.
        uid: user and group id to change to, or None to keep the present one (which then is not root's).
        mounts: put a private tmpfs on `folder` and /dev/shm and hide /proc (needs `new_namespaces`).
        folder: the working directory, and home.
    Raises:
        ContainmentError: a protection could not be put in place.
    """
    virtual, data = _present_memory()
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where the machine runs out of memory, the kernel ends this process before the grader
    if mounts:
        options = f"size={limits['disk_mb']}m,nr_inodes=4096,mode=1777".encode()
        safe = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _must(_libc.mount(b"tmpfs", folder.encode(), b"tmpfs", safe, options), f"a private {folder}")
        _must(_libc.mount(folder.encode(), b"/dev/shm", None, _MS_BIND, None), "a private /dev/shm")
        for hidden in (b"/proc", b"/dev/pts"):
            _must(_libc.mount(b"tmpfs", hidden, b"tmpfs", safe | _MS_RDONLY, b"size=4k"), f"hiding {hidden.decode()}")
    os.chdir(folder)
    os.umask(0o077)

    megabyte = 2**20
    more = limits["memory_mb"] * megabyte
    for kind, value in (
        (resource.RLIMIT_AS, virtual + more),
        (resource.RLIMIT_DATA, data + more),
        (resource.RLIMIT_FSIZE, limits["disk_mb"] * megabyte),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))

    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last capability of this kernel, or not privileged, and then there is nothing to drop
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    version_3 = struct.pack("<Ii", 0x20080522, 0)
    _must(_libc.capset(version_3, bytes(24)), "dropping capabilities")
    _must(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    _must(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "dying with the supervisor")
    # A crash leaves no core file; RLIMIT_CORE does not stop systems that hand cores to a program on the host.
    _must(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "no core files")
    _filter_system_calls()


def _present_memory() -> tuple[int, int]:
    """Bytes of address space and of data that the process holds now; the limits count from there."""
    with open("/proc/self/statm") as file:
        pages = [int(n) for n in file.read().split()]
    return pages[0] * resource.getpagesize(), pages[5] * resource.getpagesize()


def _filter_system_calls() -> None:
    """Refuse the calls in `_DENIED`, every clone that is not a thread, and asking for core files.

    A classic BPF program: each instruction is (code, jump if true, jump if false, operand).
    """
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        return  # the other walls stand; the guide says that this one is missing on such a machine
    column = 0 if machine == "x86_64" else 1
    load, jump_eq, jump_ge, jump_set, ret = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, eperm, enosys = 0x7FFF0000, 0x80000000, 0x00050000 | 1, 0x00050000 | 38
    # offsets in struct seccomp_data: 0 number, 4 architecture, 16 lower half of the first argument
    program: list[tuple[int, int, int, int]] = [
        (load, 0, 0, 4),
        (jump_eq, 1, 0, _AUDIT_ARCH[machine]),
        (ret, 0, 0, kill),
        (load, 0, 0, 0),
    ]
    if column == 0:
        program += [(jump_ge, 0, 1, 0x40000000), (ret, 0, 0, kill)]  # the x32 interface has other numbers
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            program += [(jump_eq, 0, 1, number), (ret, 0, 0, eperm)]
    program += [(jump_eq, 0, 1, _CLONE3[column]), (ret, 0, 0, enosys)]  # glibc then falls back to clone
    program += [(jump_eq, 0, 4, _PRCTL[column]), (load, 0, 0, 16), (jump_eq, 0, 1, _PR_SET_DUMPABLE)]
    program += [(ret, 0, 0, eperm), (ret, 0, 0, allow)]
    program += [(jump_eq, 0, 3, _CLONE[column]), (load, 0, 0, 16), (jump_set, 1, 0, _CLONE_THREAD), (ret, 0, 0, eperm)]
    program += [(ret, 0, 0, allow)]
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    _must(_libc.prctl(_PR_SET_SECCOMP, 2, head, 0, 0), "the filter of system calls")
