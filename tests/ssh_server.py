"""A real SSH server on loopback, which serves files to whoever holds its key."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh


@contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, Path, Path]]:
    """Its port, the file with the client's key, and a home folder that knows the server; all files in ``folder``."""
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    own, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    key = folder / "key"
    client.write_private_key(str(key))
    client.write_public_key(str(folder / "authorized"))
    loop = asyncio.new_event_loop()

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[own],
            authorized_client_keys=str(folder / "authorized"),
            sftp_factory=True,
        )

    server = loop.run_until_complete(start())
    port = server.sockets[0].getsockname()[1]
    public = own.export_public_key().decode()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield port, key, home
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()
