# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys for streams over TLS, made at run time, and QEMU's objects of them."""

import os
import secrets
import subprocess

USER = "kemari"
NAME = "127.0.0.1"
# Of what goes with a key of its own, GnuTLS takes ChaCha20 first; AES is ten
# times as fast where the processor has it.
PSK_PRIORITY = "NORMAL:-CHACHA20-POLY1305"
KINDS = ("psk", "x509")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(folder, *words):
    subprocess.run(("openssl",) + words, cwd=folder, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_psk(folder):
    path = os.path.join(folder, "keys.psk")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(f"{USER}:{secrets.token_hex(32)}\n")


def make_authority(folder):
    openssl(folder, "req", "-x509", *NEW_KEY, "-subj",
            "/CN=kemari test authority",
            "-addext", "keyUsage=critical,keyCertSign,digitalSignature",
            "-days", "2", "-keyout", "ca-key.pem", "-out", "ca-cert.pem")


def make_x509(folder, address=NAME, authority=None):
    """A certificate of each kind for the node with that address, of the
    authority in that folder; without one it is made."""
    if not authority:
        make_authority(folder)
        authority = folder
    for kind in ("server", "client"):
        with open(os.path.join(folder, "ext"), "w") as file:
            file.write("basicConstraints=critical,CA:FALSE\n"
                       "keyUsage=critical,digitalSignature\n"
                       f"extendedKeyUsage={kind}Auth\n"
                       f"subjectAltName=IP:{address}\n")
        openssl(folder, "req", "-new", *NEW_KEY, "-subj",
                f"/CN=kemari {kind}", "-keyout", f"{kind}-key.pem",
                "-out", "csr")
        openssl(folder, "x509", "-req", "-in", "csr", "-days", "2",
                "-CA", os.path.join(authority, "ca-cert.pem"),
                "-CAkey", os.path.join(authority, "ca-key.pem"),
                "-CAcreateserial", "-extfile", "ext",
                "-out", f"{kind}-cert.pem")


class Keys:
    """What both sides of a pair have to have."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.folder = folder
        os.mkdir(folder)
        {"psk": make_psk, "x509": make_x509}[kind](folder)

    def use(self, machine, endpoint):
        """The next stream of MACHINE is over TLS; ENDPOINT is "server" on the
        standby, "client" on the primary."""
        name = f"{os.path.basename(self.folder)}-{endpoint}"
        if name not in machine.objects:
            more = {}
            if self.kind == "psk":
                more["priority"] = PSK_PRIORITY
                if endpoint == "client":
                    more["username"] = USER
            machine.command("object-add", id=name, endpoint=endpoint,
                            qom_type=f"tls-creds-{self.kind}",
                            dir=self.folder, **more)
            machine.objects.add(name)
        machine.command("migrate-set-parameters", tls_creds=name)
