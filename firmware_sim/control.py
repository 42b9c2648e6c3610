"""How a person reaches into a running simulation: one JSON line in, one JSON line out, over a unix socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from firmware_sim.live import LiveAir, LiveError

# Beside the data; holds the socket's own path, which has to be shorter than some folders are.
DOOR_FILE: Final = "air.door"
_LINE_MAX: Final = 4096
_PATH_MAX_BYTES: Final = 100  # sun_path holds 108
_TIMEOUT_S: Final = 10.0


def ask(data: Path, **request: object) -> Any:
    """Sends one request to the air that runs on `data`. Raises LiveError."""
    try:
        path = (data / DOOR_FILE).read_text().strip()
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_TIMEOUT_S)
            door.connect(path)
            door.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(b"".join(iter(lambda: door.recv(_LINE_MAX), b"")))
    except (OSError, ValueError):
        raise LiveError(f"no air is live on {data}: start it with  python -m firmware_sim air STORY.toml") from None
    if "error" in answer:
        raise LiveError(answer["error"])
    return answer["said"]


@asynccontextmanager
async def control(air: LiveAir, data: Path) -> AsyncIterator[None]:
    """The door for `ask`, open while the air is."""
    with ExitStack() as stack:
        path = (data / "air.sock").absolute()
        if len(os.fsencode(path)) > _PATH_MAX_BYTES:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hearsight-air-"))) / "air.sock"
        path.unlink(missing_ok=True)  # of one that was killed
        stack.callback(path.unlink, missing_ok=True)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                line = await asyncio.wait_for(reader.readline(), _TIMEOUT_S)
                writer.write(json.dumps(await _answer(air, line)).encode())
                await writer.drain()
            finally:
                writer.close()

        server = await asyncio.start_unix_server(serve, path, limit=_LINE_MAX)
        note = data / DOOR_FILE
        note.write_text(f"{path}\n")
        try:
            async with server:
                yield
        finally:
            note.unlink(missing_ok=True)


async def _answer(air: LiveAir, line: bytes) -> dict[str, object]:
    try:
        request = json.loads(line)
        return {"said": await _do(air, request)}
    except LiveError as wrong:
        return {"error": str(wrong)}
    except (ValueError, KeyError, TypeError):
        return {"error": "this request is not understood"}


async def _do(air: LiveAir, request: dict[str, Any]) -> object:
    what = request["do"]
    if what == "press":
        return air.press(int(request["serial"]))
    if what == "move":
        return air.move(int(request["serial"]), str(request["place"]))
    if what == "near":
        return air.near(int(request["serial"]))
    if what == "away":
        return air.away(int(request["serial"]))
    if what == "ring":
        return air.ring(int(request["serial"]), int(request["seconds"]))
    if what == "power":
        return air.power(int(request["serial"]), bool(request["on"]))
    if what == "status":
        return air.status()
    if what == "fault":
        return await _fault(air, str(request["gateway"]), str(request["fault"]))
    raise LiveError(f"nobody knows how to {what}")


async def _fault(air: LiveAir, gateway: str, name: str) -> str:
    if gateway not in air.radios:
        raise LiveError(f"no live gateway {gateway} (there are {', '.join(sorted(air.radios))})")
    faults = air.radios[gateway].faults
    now: dict[str, Callable[[], None]] = {
        "adapter-off": faults.power_off,
        "adapter-on": faults.power_on,
        "unplug": faults.unplug,
        "replug": faults.replug,
    }
    if name in now:
        now[name]()
    elif name == "restart-bluetoothd":
        await faults.restart_bluetoothd()
    elif name == "kill-bluetoothd":
        await faults.kill_bluetoothd()
    else:
        raise LiveError(f"no fault {name} (there are {', '.join(FAULTS)})")
    return f"{gateway}: {name} done"


FAULTS: Final = ("adapter-off", "adapter-on", "unplug", "replug", "restart-bluetoothd", "kill-bluetoothd")
