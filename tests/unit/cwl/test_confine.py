"""What a confined process can still do, seen from inside: compute, and use what was open before."""

import json
import os
import platform
import subprocess
import sys

import pytest

INSIDE = """
import ctypes, json, os, resource, socket, sys, tempfile, threading
from diracx_tasks.cwl import syscalls, v8
from diracx_tasks.cwl.confine import confine, leave_spaces
v8.start()
libc = ctypes.CDLL(None, use_errno=True)
parent, user, outside = os.getppid(), os.getuid(), os.open('/', os.O_RDONLY)
os.close(outside)
if sys.argv[1] == 'calls':
    held = {'calls': syscalls.refuse_others()}
else:
    if sys.argv[1] == 'nobody':
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    held = leave_spaces()
    if child := os.fork():
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    folder = tempfile.mkdtemp()
    opened = os.open(folder, os.O_RDONLY)
    os.rmdir(folder)
    held |= confine(opened, 2_000_000_001)

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), 'refused')

TRIES = {
    'read a file': lambda: open('/etc/passwd').read(),
    'read a folder': lambda: os.listdir('/'),
    'write a file': lambda: open('/tmp/x', 'w'),
    'memory as a file': lambda: os.memfd_create('x'),
    'secrets of another': lambda: open(f'/proc/{parent}/environ').read(),
    'secrets of the first': lambda: open('/proc/1/environ').read(),
    'up from the root': lambda: os.open('../../../etc/passwd', os.O_RDONLY),
    'socket': lambda: socket.socket().connect(('127.0.0.1', 22)),
    'local socket': lambda: socket.socketpair(),
    'fork': lambda: os.fork() or os._exit(0),
    'another program': lambda: os.execv('/bin/true', ['true']),
    'kill': lambda: os.kill(parent, 0),
    'kill all': lambda: os.kill(-1, 0),
    'trace': lambda: call(101, 16, parent, 0, 0),
    'read memory': lambda: call(310, parent, 0, 0, 0, 0, 0),
    'limits of another': lambda: resource.prlimit(parent, resource.RLIMIT_CPU),
    'limits back': lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    'user back': lambda: os.setuid(user) if user == 0 else os.setuid(0),
    'namespace': lambda: call(272, 0x10000000),
    'root back': lambda: os.chroot('..'),
    'mount': lambda: call(165, b'none', b'/', b'tmpfs', 0, 0),
    'ring of calls': lambda: call(425, 4, ctypes.create_string_buffer(256)),
    'filter': lambda: call(321, 5, 0, 0),
    'keys': lambda: call(250, 0, -1),
}
results = {}
for name, attempt in TRIES.items():
    try:
        attempt()
        results[name] = 'done'
    except (OSError, ValueError):
        results[name] = 'refused'
thread = threading.Thread(target=lambda: results.update(thread='done'))
thread.start()
thread.join()
results['javascript'] = v8.Context(1 << 28).run("'' + (6 * 7)", 10)
os.write(1, json.dumps([held, results]).encode())
os._exit(0)
"""

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are x86_64's")


def inside(how: str) -> tuple[dict[str, bool], dict[str, str]]:
    """What has been given up, and how each try ended."""
    done = subprocess.run([sys.executable, "-c", INSIDE, how], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    held, results = json.loads(done.stdout)
    return held, results


def assert_confined(results: dict[str, str]) -> None:
    """Fail unless everything was refused but what computing takes."""
    assert results.pop("thread") == "done"
    assert results.pop("javascript") == "42"
    assert {name: how for name, how in results.items() if how != "refused"} == {}


def test_a_confined_process_only_computes() -> None:
    held, results = inside("all")
    assert held["calls"]
    assert_confined(results)


def test_the_filter_of_system_calls_alone_is_enough() -> None:
    held, results = inside("calls")
    assert held == {"calls": True}
    assert_confined(results)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_rights_is_confined_as_well() -> None:
    held, results = inside("nobody")
    assert held["calls"] and not held["user"]
    assert_confined(results)
