"""The official client of the Model Context Protocol against the program: over standard input and output, and over HTTP.

python3 official.py PROGRAM, in an environment with the package mcp, version 2.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from service import service

PROGRAM = os.path.abspath(sys.argv[1])


async def call(client, tool, **arguments):
    """The JSON that a tool answers, which must be no error."""
    answer = await client.call_tool(tool, arguments)
    told = json.loads(answer.content[0].text)
    assert not answer.is_error, (tool, told)
    return told


async def work(client, tag, lasts):
    """Everything that an agent does in a day."""
    tools = (await client.list_tools()).tools
    assert {"claim", "complete", "restore"} <= {tool.name for tool in tools}
    await call(client, "register", specializations=["rust"])
    await call(client, "enqueue", payload={"n": 1}, id=f"{tag}-1")
    await call(client, "enqueue", payload={"n": 2}, id=f"{tag}-2")
    claims = await call(client, "claim", wait_ms=1000)
    assert claims["lease_is_extended"] is lasts, claims
    first = claims["claims"][0]
    assert first["id"] == f"{tag}-1" and first["payload"] == {"n": 1}, first
    done = await call(client, "complete", task=first["id"], token=first["token"], claim_next=True)
    assert done["completed"]["state"] == "done", done
    second = done["claims"][0]
    await call(client, "release", task=second["id"], token=second["token"])
    await call(client, "chat_post", conversation=tag, content="done")
    await call(client, "note_write", name="seen", value=[1, 2.5])
    assert (await call(client, "note_read", name="seen"))["value"] == [1, 2.5]
    refused = await client.call_tool("point_make", {"description": "mine"})
    assert refused.is_error and "operator" in refused.content[0].text, refused
    uris = {str(resource.uri) for resource in (await client.list_resources()).resources}
    assert "hivekeep://queue" in uris, uris
    read = await client.read_resource(f"hivekeep://queue/{tag}-1")
    assert json.loads(read.contents[0].text)["state"] == "done", read
    # It is in hand when the session ends.
    await call(client, "claim")


def state(store, task):
    run = [PROGRAM, "--store", store, "--json", "get", "queue", task]
    return json.loads(subprocess.check_output(run))["state"]


async def by_stdio(store, mode):
    tag = f"stdio-{mode}"
    server = StdioServerParameters(command=PROGRAM, args=["--store", store, "mcp", "--as", "BOT-1"])
    async with Client(server, mode=mode) as client:
        await work(client, tag, True)
        assert state(store, f"{tag}-2") == "claimed"
    assert state(store, f"{tag}-2") == "ready"
    subprocess.check_call([PROGRAM, "--store", store, "queue", "cancel", f"{tag}-2"], stdout=subprocess.DEVNULL)


async def by_http(store, address, key, mode, lasts):
    tag = f"http-{mode}"
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=90) as http:
        async with Client(streamable_http_client(address + "/mcp", http_client=http), mode=mode) as client:
            await work(client, tag, lasts)
    for _ in range(100):
        if not lasts or state(store, f"{tag}-2") == "ready":
            break
        await asyncio.sleep(0.1)
    assert state(store, f"{tag}-2") == ("ready" if lasts else "claimed")
    subprocess.check_call([PROGRAM, "--store", store, "queue", "cancel", f"{tag}-2"], stdout=subprocess.DEVNULL)


async def claims_until_none(client, claims):
    """The tasks that a session gets, one after the other, from its first claim on."""
    done = []
    while claims["claims"]:
        task = claims["claims"][0]["id"]
        claims = await call(client, "complete", task=task, claim_next=True)
        done.append(task)
    return done


async def two_at_once(store):
    """Two sessions that claim at once never get the same task."""
    servers = [
        StdioServerParameters(command=PROGRAM, args=["--store", store, "mcp", "--as", f"BOT-{number}"]) for number in (1, 2)
    ]
    async with Client(servers[0]) as one, Client(servers[1]) as two:
        tasks = [{"payload": number, "id": f"both-{number}"} for number in range(30)]
        await call(one, "enqueue_all", tasks=tasks)
        # Each has a task before either goes on, however late a process is scheduled.
        firsts = await asyncio.gather(call(one, "claim", bot="BOT-1"), call(two, "claim", bot="BOT-2"))
        both = await asyncio.gather(claims_until_none(one, firsts[0]), claims_until_none(two, firsts[1]))
    assert all(both) and sorted(sum(both, [])) == sorted(task["id"] for task in tasks), both


async def killed(store):
    """The server of a session is killed: its task is ready for the other one, long before its lease ends."""
    script = f'echo $$ >"$PIDFILE"; exec "{PROGRAM}" --store "{store}" mcp --as BOT-1'
    file = os.path.join(os.path.dirname(store), "pid")
    server = StdioServerParameters(command="sh", args=["-c", script], env={**os.environ, "PIDFILE": file})
    other = StdioServerParameters(command=PROGRAM, args=["--store", store, "mcp", "--as", "BOT-2"])
    async with Client(other) as two:
        try:
            async with Client(server) as one:
                await call(one, "enqueue", payload=1, id="killed")
                claims = await call(one, "claim", lease_ms=3_600_000)
                assert claims["claims"][0]["id"] == "killed", claims
                os.kill(int(open(file).read()), signal.SIGKILL)
                claims = await call(two, "claim", wait_ms=30_000)
                assert [(claim["id"], claim["attempt"]) for claim in claims["claims"]] == [("killed", 2)], claims
                await call(two, "complete", task="killed")
        except Exception as error:
            # The client of a server that was killed may say so when it is closed.
            if state(store, "killed") != "done":
                raise error


async def main():
    with service(PROGRAM) as (store, address):
        for mode in ["legacy", "auto"]:
            await by_stdio(store, mode)
            print(f"ok: standard input and output, {mode}")
        add = [PROGRAM, "--store", store, "key", "add", "bot", "--role", "bot", "--bot", "BOT-2"]
        key = re.search(r"hk_\S+", subprocess.check_output(add, text=True)).group()
        for mode, lasts in [("legacy", True), ("auto", False)]:
            await by_http(store, address, key, mode, lasts)
            print(f"ok: HTTP, {mode}")
        await asyncio.wait_for(two_at_once(store), 120)
        print("ok: two sessions that claim at once")
        # A client whose server was killed must not hang.
        await asyncio.wait_for(killed(store), 120)
        print("ok: a session that is killed")


asyncio.run(main())
