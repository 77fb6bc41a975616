# SPDX-License-Identifier: ISC
"""Stops a process at each of its system calls: enough of ptrace to kill it between any two, or to let one fail. Root only."""
import ctypes
import os
import signal

PTRACE_SYSCALL, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 24, 17, 0x4206, 0x4207
PTRACE_GET_SYSCALL_INFO = 0x420e
PTRACE_GETREGS, PTRACE_SETREGS = 12, 13
O_TRACESYSGOOD, O_EXITKILL = 1, 0x100000
WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, pid, addr=0, data=0):
    r = _libc.ptrace(request, pid, addr, data)
    if r < 0:
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))
    return r


class Ended(Exception):
    """The traced process did; status is waitpid's."""

    def __init__(self, status):
        super().__init__(f"traced process ended: {status:#x}")
        self.status = status


class Tracer:
    """Follows one process that is asleep in a system call, from that call on, or that is stopped."""

    def __init__(self, pid):
        self.pid = pid
        self.calls = []
        _ptrace(PTRACE_SEIZE, pid, 0, O_TRACESYSGOOD | O_EXITKILL)
        _ptrace(PTRACE_INTERRUPT, pid)
        self._wait()

    def _wait(self):
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status):
            raise Ended(status)
        return os.WSTOPSIG(status)

    def _info(self):
        """(1 at entry or 2 at exit, number)"""
        buf = ctypes.create_string_buffer(88)
        _ptrace(PTRACE_GET_SYSCALL_INFO, self.pid, len(buf), ctypes.addressof(buf))
        return buf.raw[0], int.from_bytes(buf.raw[24:32], "little")

    def run_to_entry(self):
        """Up to the entry of the next system call, which has not happened yet; returns its number."""
        while True:
            _ptrace(PTRACE_SYSCALL, self.pid)
            if self._wait() != (signal.SIGTRAP | 0x80):
                continue
            op, number = self._info()
            if op == 1:
                self.calls.append(number)
                return number

    def _regs(self):
        buf = (ctypes.c_uint64 * 27)()
        _ptrace(PTRACE_GETREGS, self.pid, 0, ctypes.addressof(buf))
        return buf

    def _set_regs(self, regs):
        _ptrace(PTRACE_SETREGS, self.pid, 0, ctypes.addressof(regs))

    def arguments(self):
        """The first three. x86-64 only, as what follows."""
        regs = self._regs()
        return regs[14], regs[13], regs[12]  # rdi, rsi, rdx

    def fail(self, error, instead):
        """At the entry of a call: it is not made, and returns -error. instead: the number of one that does nothing."""
        self.answer(-error, instead)

    def answer(self, result, instead):
        """The same with any result."""
        regs = self._regs()
        regs[15] = instead  # orig_rax; a seccomp filter sees that one
        self._set_regs(regs)
        _ptrace(PTRACE_SYSCALL, self.pid)
        self._wait()
        regs = self._regs()
        regs[10] = result % (1 << 64)  # rax
        self._set_regs(regs)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, WALL)

    def detach(self):
        _ptrace(PTRACE_DETACH, self.pid)
