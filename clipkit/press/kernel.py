"""Kernels for papermill: always the running interpreter, and forked from a warm process where that is possible.

The engine `clipkit` ignores every kernelspec on the machine: "python3" is the interpreter that runs this line, with
no kernel installed or a foreign one in its place. After `fork_kernel` it hands the notebook to a child forked before
any socket was opened; when its parent has imported torch and the rest (see `preload`), the child has them too. A page
in `smoke` then costs a quarter of the time, for most of it went into importing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from papermill.engines import NBClientEngine, papermill_engines
from traitlets import Type

INLINE = "module://matplotlib_inline.backend_inline"


class OwnKernelSpecs(KernelSpecManager):
    """Knows one kernel, "python3": this interpreter, whatever is installed elsewhere."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        if kernel_name != "python3":
            raise NoSuchKernel(kernel_name)
        spec = get_kernel_dict()
        spec["argv"][0] = sys.executable
        return KernelSpec(**spec)


class ForkedKernel:
    """A child process that waits for a connection file and then becomes an IPython kernel.

    Forked in the constructor, which must run before this process opens a zmq socket or starts a thread.
    Has the few methods of `subprocess.Popen` that jupyter_client uses.
    """

    stdin = stdout = stderr = None

    def __init__(self):
        reader, self._writer = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._writer)
            _become_kernel(reader)
        os.close(reader)

    def launch(self, argv: list[str], env: dict[str, str], cwd: str) -> None:
        """Send the child on its way; `argv` is what follows `-m ipykernel_launcher`."""
        with os.fdopen(self._writer, "w") as pipe:
            json.dump({"argv": argv, "env": env, "cwd": cwd}, pipe)

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"kernel {self.pid} is still running")
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def _become_kernel(reader: int) -> None:
    """The child's life: wait for the order, then run a kernel; never returns."""
    code = 1
    try:
        os.setsid()  # an interrupt at the terminal is for the runner, not for each kernel
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        if text:
            order = json.loads(text)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            multiprocessing.set_start_method(None, force=True)  # a page's own workers start in the usual way
            os.environ.clear()
            os.environ.update(order["env"])
            os.chdir(order["cwd"])
            sys.path[:] = ["", *[p for p in sys.path if p]]
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            from ipykernel.kernelapp import IPKernelApp

            # its default was read from the environment when the class was imported, in another process
            IPKernelApp.launch_instance(argv=[*order["argv"], f"--IPKernelApp.parent_handle={os.getppid()}"])
        code = 0
    finally:
        os._exit(code)


class Provisioner(LocalProvisioner):
    """Gives the connection file to a `ForkedKernel`; where none was forked, starts a command in the usual way."""

    forked: ForkedKernel | None = None  # the one kernel of this process, made by `fork_kernel`

    async def launch_kernel(self, cmd, **kwargs):
        forked, Provisioner.forked = Provisioner.forked, None
        if forked is None:  # also at a restart
            return await super().launch_kernel(cmd, **kwargs)
        self.cwd = kwargs.get("cwd") or os.getcwd()
        forked.launch(cmd[cmd.index("-f") :], {**(kwargs.get("env") or os.environ), "MPLBACKEND": INLINE}, self.cwd)
        self.process = forked
        self.pid = self.pgid = forked.pid
        return self.connection_info


class OwnKernelManager(AsyncKernelManager):
    kernel_spec_manager_class = Type(OwnKernelSpecs)

    def _kernel_spec_manager_default(self):
        return OwnKernelSpecs(parent=self)

    async def _async_pre_start_kernel(self, **kw):
        if self.provisioner is None:
            self.kernel_id = self.kernel_id or "clipkit"
            self.provisioner = Provisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**kw)


class OwnEngine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **kwargs):
        kwargs["kernel_manager_class"] = OwnKernelManager
        return super().execute_managed_notebook(nb_man, "python3", **kwargs)


papermill_engines.register("clipkit", OwnEngine)


def fork_kernel() -> None:
    """Fork this process's kernel now; the next notebook run with engine `clipkit` uses it."""
    Provisioner.forked = ForkedKernel()
