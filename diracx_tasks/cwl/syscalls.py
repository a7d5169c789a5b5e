"""A filter of system calls (seccomp): what Python and V8 need to compute, and to use what is open already."""

import ctypes
import platform
import struct

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
FILTER = 2
CLONE_THREAD = 0x10000
# Number of the architecture, then the numbers of calls as in the kernel's asm/unistd.h.
ALLOWED = {
    "x86_64": (
        0xC000003E,
        "read 0 write 1 close 3 fstat 5 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12 rt_sigaction 13 "
        "rt_sigprocmask 14 rt_sigreturn 15 select 23 sched_yield 24 mremap 25 madvise 28 nanosleep 35 "
        "getpid 39 exit 60 getrusage 98 sigaltstack 131 gettid 186 futex 202 sched_getaffinity 204 "
        "clock_gettime 228 clock_getres 229 clock_nanosleep 230 exit_group 231 set_robust_list 273 "
        "getrandom 318 membarrier 324 pkey_mprotect 329 rseq 334",
    ),
    "aarch64": (
        0xC00000B7,
        "close 57 lseek 62 read 63 write 64 pselect6 72 ppoll 73 fstat 80 exit 93 exit_group 94 futex 98 "
        "set_robust_list 99 nanosleep 101 clock_gettime 113 clock_getres 114 clock_nanosleep 115 "
        "sched_getaffinity 123 sched_yield 124 sigaltstack 132 rt_sigaction 134 rt_sigprocmask 135 "
        "rt_sigreturn 139 getrusage 165 getpid 172 gettid 178 brk 214 munmap 215 mremap 216 "
        "mmap 222 mprotect 226 madvise 233 getrandom 278 membarrier 283 pkey_mprotect 288 rseq 293",
    ),
}
# For these there are no files: what asks for one is prepared to hear that.
ABSENT = {
    "x86_64": (2, 4, 6, 21, 89, 257, 262, 267, 269, 332, 437, 439),
    "aarch64": (48, 56, 78, 79, 291, 437, 439),
}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
EPERM, ENOENT, ENOSYS = 1, 2, 38
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
KILL, ALLOW, ERROR = 0x80000000, 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16


def refuse_others() -> bool:
    """Whether from now on every other call of this process and its threads fails with EPERM.

    Must be called while there is one thread. False where the kernel or the machine has no such filter.
    """
    if platform.machine() not in ALLOWED:
        return False
    program = _program(platform.machine())
    text = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog
    filter_ = struct.pack("@HP", len(program) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    refused: int = libc.prctl(PR_SET_SECCOMP, FILTER, filter_, 0, 0)
    return refused == 0


def _program(machine: str) -> bytes:
    """Berkeley packet filter instructions: operation, jumps if true and if false, operand."""
    architecture, calls = ALLOWED[machine]
    numbers = [int(word) for word in calls.split() if word.isdigit()]
    lines = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL)]
    lines.append((LOAD, 0, 0, NUMBER))
    for number in numbers:
        lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    for number in ABSENT[machine]:
        lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ERROR | ENOENT)]
    # The C library makes threads by clone when there is no clone3, whose flags cannot be seen from here.
    lines += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, ERROR | ENOSYS)]
    lines += [(EQUAL, 0, 3, CLONE[machine]), (LOAD, 0, 0, FIRST_ARGUMENT)]
    lines += [(ANY_BIT, 0, 1, CLONE_THREAD), (RETURN, 0, 0, ALLOW)]
    lines.append((RETURN, 0, 0, ERROR | EPERM))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
