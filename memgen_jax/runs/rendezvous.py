"""Processes meet before `jax.distributed`, so that one which waits in vain ends with a sentence.

`jax.distributed.initialize` has timeouts, but no way to learn of them: where the others do not come in time JAX
aborts the process (SIGABRT, exit code 134), and where its port is in use process 0 crashes (SIGSEGV). A test holds
that against the installed version; when it fails, this file can go.
"""

import contextlib
import os
import select
import socket
import time

from memgen_jax.errors import InputError


def gather(port: int, count: int, seconds: float) -> None:
    """Process 0: waits until all others are on the line at once, then tells each of them to go on."""
    end = time.monotonic() + seconds
    names = [f"{i}/{count}" for i in range(1, count)]
    on_line: dict[socket.socket, str] = {}
    heard: set[str] = set()
    with contextlib.ExitStack() as stack:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            server = socket.create_server(("", port), family=family, backlog=count, dualstack_ipv6=both)
        except OSError as error:
            raise InputError(
                f"process 0 cannot listen at port {port} ({os.strerror(error.errno or 0)}); "
                "give all processes another."
            ) from None
        stack.enter_context(server)
        while missing := [name for name in names if name not in on_line.values()]:
            ready, _, _ = select.select([server, *on_line], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                strangers = sorted(heard - set(names))
                raise InputError(
                    f"{', '.join(missing)} did not come to port {port} of process 0 within "
                    f"{seconds:.0f} s{f' (but {strangers} did)' if strangers else ''}; start each of the "
                    f"{count} processes once, where it reaches that port."
                )
            for line in ready:
                if line is server:
                    on_line[stack.enter_context(server.accept()[0])] = ""
                elif said := _hear(line):
                    on_line[line] = said
                    heard.add(said)
                else:
                    del on_line[line]
        by_name = {name: line for line, name in on_line.items()}
        for name in names:
            by_name[name].sendall(b"go")


def call(host: str, port: int, name: str, seconds: float) -> None:
    """Another process: calls process 0, again and again, and stays on the line until told to go on."""
    end = time.monotonic() + seconds
    trouble = ""
    while (left := end - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left) as line:
                line.sendall(name.encode())
                if _hear(line) == "go":
                    return
                trouble = "whoever listens there does not wait for it, or for others too"
        except OSError as error:
            trouble = error.strerror or str(error)
        time.sleep(0.2)
    raise InputError(
        f"{name} was not let in at {host}:{port} within {seconds:.0f} s ({trouble}); start process 0 "
        "there, and every other once with the same HOST:PORT and n."
    )


def _hear(line: socket.socket) -> str:
    """What is said at the other end; "" when it has hung up."""
    with contextlib.suppress(OSError):
        return line.recv(64).decode(errors="replace")
    return ""
