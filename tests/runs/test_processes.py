"""How processes find each other before JAX does: what is missing is told, and those that come early wait."""

import concurrent.futures
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from memgen_jax.errors import InputError
from memgen_jax.runs import processes as hosts


@pytest.fixture
def joined(monkeypatch):
    """What `jax.distributed.initialize` was asked for; it is not called: one process can be joined only once."""
    asked = []
    monkeypatch.setattr(hosts.jax.distributed, "initialize", lambda *where, **_: asked.append(where))
    return asked


@pytest.fixture
def port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def told(*places, seconds=2.0, patience=3.0):
    """What each of these processes, started at once, is told: "" where it may go on."""

    def tell(place):
        try:
            # The others wait longer than process 0, which otherwise sees some leave just before it ends.
            hosts.join(place, seconds if ",0/" in place else seconds + patience)
        except InputError as error:
            return str(error)
        return ""

    with concurrent.futures.ThreadPoolExecutor(len(places)) as together:
        return list(together.map(tell, places))


@pytest.mark.parametrize("processes", ["here", "localhost:1,2/2", "localhost,0/2", "localhost:65536,0/2"])
def test_a_place_that_is_none_is_a_mistake(processes, joined):
    with pytest.raises(InputError, match="must be auto, or HOST:PORT,i/n"):
        hosts.join(processes)
    assert not joined


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_processes_that_all_come_go_on_to_jax(host, port, joined):
    assert told(*[f"{host}:{port},{i}/4" for i in (3, 0, 2, 1)], seconds=20.0) == [""] * 4
    assert sorted(joined) == [(f"{host}:{port}", 4, i) for i in range(4)]


def test_a_process_that_finds_nobody_is_told_where_it_looked(port, joined):
    (said,) = told(f"127.0.0.1:{port},1/2")
    assert f"1/2 was not let in at 127.0.0.1:{port}" in said and "Connection refused" in said
    assert not joined


def test_process_0_names_those_that_did_not_come(port, joined):
    alone, other = told(f"127.0.0.1:{port},0/4", f"127.0.0.1:{port},2/4")
    assert f"1/4, 3/4 did not come to port {port}" in alone
    assert "2/4 was not let in" in other
    assert not joined


def test_one_that_left_while_it_waited_has_not_come(port, joined):
    with concurrent.futures.ThreadPoolExecutor() as apart:
        first = apart.submit(told, f"127.0.0.1:{port},0/3", seconds=2.0)
        told(f"127.0.0.1:{port},1/3", seconds=0.5, patience=0.0)
        told(f"127.0.0.1:{port},2/3", seconds=0.5, patience=0.0)
    assert "1/3, 2/3 did not come" in first.result()[0]
    assert not joined


def test_another_number_of_processes_is_told_apart(port, joined):
    said, _ = told(f"127.0.0.1:{port},0/2", f"127.0.0.1:{port},1/3")
    assert "1/2 did not come" in said and "(but ['1/3'] did)" in said
    assert not joined


def test_of_two_that_claim_one_place_one_is_refused(port, joined):
    with concurrent.futures.ThreadPoolExecutor() as apart:
        claims = apart.submit(told, *[f"127.0.0.1:{port},{i}/3" for i in (1, 1, 0)], seconds=3.0)
        time.sleep(1.0)  # both are on the line when the last one comes
        told(f"127.0.0.1:{port},2/3", seconds=3.0)
    assert sum("1/3 was not let in" in said for said in claims.result()) == 1
    assert len(joined) == 3


def test_a_port_in_use_is_told_at_once(port, joined):
    with socket.create_server(("127.0.0.1", port)):
        (said,) = told(f"127.0.0.1:{port},0/2", seconds=300.0)
    assert f"process 0 cannot listen at port {port} (Address already in use)" in said
    assert not joined


def test_a_stranger_on_the_line_is_not_waited_for(port, joined):
    def knock():
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)):
                    time.sleep(5.0)  # says nothing
                return
            except OSError:
                time.sleep(0.05)

    threading.Thread(target=knock, daemon=True).start()
    assert told(f"127.0.0.1:{port},0/2", f"127.0.0.1:{port},1/2", seconds=20.0) == ["", ""]


def test_a_cluster_tells_where_process_0_is(monkeypatch, port, joined):
    """A SLURM step of two tasks, by the variables from which JAX detects one."""
    step = {"JOB_ID": "7", "STEP_NODELIST": "localhost", "NTASKS": "2", "PROCID": "1", "LOCALID": "0"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("JAX_COORDINATOR_PORT", str(port))
    (said,) = told("auto")
    assert f"1/2 was not let in at localhost:{port}" in said
    assert told("auto", f"localhost:{port},0/2", seconds=20.0) == ["", ""]
    assert sorted(joined) == [(f"localhost:{port}", 2, i) for i in (0, 1)]


def test_auto_outside_a_cluster_says_what_to_do(joined):
    (said,) = told("auto")
    assert "needs a SLURM step" in said and "HOST:PORT,i/n" in said
    assert not joined


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_jax_still_aborts_a_process_that_waits_in_vain(index, port):
    """When it raises instead, `runs.rendezvous` can go."""
    code = (
        "import jax; jax.config.update('jax_enable_preemption_service', False)\n"
        "try:\n"
        f"    jax.distributed.initialize('127.0.0.1:{port}', 2, {index}, initialization_timeout=3)\n"
        "except Exception as error:\n"
        "    print('raised', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGABRT and "raised" not in done.stdout
