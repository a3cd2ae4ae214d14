"""A real sshd on this machine that two names reach, as if each were a machine of its own."""

import getpass
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# What ssh reads of everyone on a Debian system: it looks up a person's own file by the password database, not by HOME
CLIENT = Path("/etc/ssh/ssh_config.d/abovo-test.conf")
PORT = 20_122
NAMES = ("first", "second")
CLIENT_LINES = """
Host {names}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile {folder}/known_hosts
    LogLevel ERROR
"""
SERVER_LINES = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/key.pub
PasswordAuthentication no
PermitRootLogin yes
StrictModes no
"""


def why_not() -> str:
    """Why no sshd can be started here; empty where one can. Its package is installed where it is missing."""
    if os.geteuid():
        return "only root can say in /etc/ssh what names mean"
    if shutil.which("sshd", path="/usr/sbin:/usr/bin") and shutil.which("ssh"):
        return ""
    if shutil.which("apt-get") is None:
        return "no sshd, and no apt-get to install one"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    words = ["apt-get", "install", "-y", "--no-install-recommends", "openssh-server", "openssh-client"]
    for command in (["apt-get", "update"], words):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return f"openssh-server cannot be installed: {done.stderr.strip()[-300:]}" if done.returncode else ""


@dataclass(frozen=True)
class Hosts:
    """Both names, while the sshd of `folder` runs."""

    folder: Path

    def start(self) -> None:
        for name in ("key", "host"):
            _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
        known = {"folder": self.folder, "port": PORT, "user": getpass.getuser(), "names": " ".join(NAMES)}
        (self.folder / "sshd_config").write_text(SERVER_LINES.format(**known))
        CLIENT.parent.mkdir(parents=True, exist_ok=True)
        CLIENT.write_text(CLIENT_LINES.format(**known))
        Path("/run/sshd").mkdir(exist_ok=True)
        _do("/usr/sbin/sshd", "-f", str(self.folder / "sshd_config"), "-E", str(self.folder / "log"))
        end = time.monotonic() + 20
        while subprocess.run(["ssh", NAMES[0], "true"], capture_output=True).returncode:
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        CLIENT.unlink(missing_ok=True)
        if (file := self.folder / "sshd.pid").exists():
            os.kill(int(file.read_text()), 15)


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
