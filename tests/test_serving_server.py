"""The server as clients meet it: OpenAI's own client, many at once, those that hang up, and what it refuses."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from browser import PROGRAM, Browser
from served import CONTEXT, Served, with_room

from abovo.errors import AbovoError
from abovo.modeling.opened import open_scored
from abovo.provenance.hashing import sha256_file
from abovo.serving.guard import check_place
from abovo.serving.model import ChatModel
from abovo.serving.refusal import Refused
from abovo.serving.sampling import Sampling
from abovo.serving.slots import Slots

HELLO = [{"role": "user", "content": "peace"}]
GREEDY = {"messages": HELLO, "temperature": 0, "max_tokens": 12}
CHAT = "/v1/chat/completions"
SLOTS, QUEUE = 2, 6


@pytest.fixture(scope="module")
def folder(request, chat_folder, tmp_path_factory):
    """Of a decoder, or of integrators with the context that a test asks for."""
    context = getattr(request, "param", None)
    made = request.getfixturevalue("integrator_folders")[context] if context else chat_folder
    return with_room(made, tmp_path_factory.mktemp("served") / "roomy")


EACH_FAMILY = pytest.mark.parametrize("folder", ["causal_mean", "attention", None], indirect=True)


@pytest.fixture(scope="module")
def server(folder):
    served = Served(folder, "--slots", str(SLOTS), "--queue", str(QUEUE), "--tokens", "4000", "--body", "200000")
    yield served
    served.end()


@pytest.fixture(scope="module")
def model(folder):
    return ChatModel("roomy", open_scored(folder))


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=120)


@pytest.mark.slow
@EACH_FAMILY
def test_openais_client_gets_what_the_model_writes_whole_and_as_a_stream(client, model):
    expected = model.write(model.ask(HELLO), Sampling(temperature=0, max_tokens=12))
    whole = client.chat.completions.create(model="roomy", **GREEDY)
    assert whole.choices[0].message.content == expected.text
    assert (whole.choices[0].finish_reason, whole.object) == (expected.finish, "chat.completion")
    counted = (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    assert counted == (len(model.ask(HELLO)), expected.tokens)
    came = list(
        client.chat.completions.create(model="roomy", stream=True, stream_options={"include_usage": True}, **GREEDY)
    )
    assert "".join(one.choices[0].delta.content or "" for one in came if one.choices) == expected.text
    assert [one.choices[0].finish_reason for one in came if one.choices][-1] == expected.finish
    assert came[0].choices[0].delta.role == "assistant" and came[-1].usage == whole.usage and len(came) > 5
    text = client.completions.create(model="roomy", prompt="The peace of", temperature=0, max_tokens=9)
    own = model.write(model.read("The peace of"), Sampling(temperature=0, max_tokens=9))
    assert (text.choices[0].text, text.choices[0].finish_reason) == (own.text, own.finish)
    came = list(
        client.completions.create(model="roomy", prompt="The peace of", temperature=0, max_tokens=9, stream=True)
    )
    assert "".join(one.choices[0].text for one in came) == own.text
    assert [one.id for one in client.models.list()] == [client.models.retrieve("roomy").id] == ["roomy"]


@pytest.mark.slow
@EACH_FAMILY
def test_seeds_stops_and_penalties_go_through_the_client(client):
    def ask(**how):
        made = client.chat.completions.create(model="roomy", messages=HELLO, max_tokens=12, **how)
        return made.choices[0].message.content, made.choices[0].finish_reason

    first, again, other = (ask(seed=seed, temperature=1.5)[0] for seed in (1, 1, 2))
    assert first == again != other
    stop = first[1:3]
    assert ask(seed=1, temperature=1.5, stop=[stop]) == (first.partition(stop)[0], "stop")
    greedy = ask(temperature=0)[0]
    assert (
        ask(temperature=0, extra_body={"repetition_penalty": 2.0})[0]
        != greedy
        == ask(temperature=2, extra_body={"top_k": 1})[0]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"temperature": -1}, "temperature: -1 is less than the minimum of 0"),
        ({"temprature": 1}, "unknown key temprature (did you mean temperature?)"),
        ({"messages": []}, "messages: [] should be non-empty"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role: 'tool' does not match"),
        ({"messages": [{"role": "user", "content": "a<|im_end|>"}]}, "messages.0: holds <|im_end|>"),
        ({"messages": [{"role": "user", "content": "1" * 5000}]}, f"the model reads {CONTEXT} at most"),
        ({"messages": HELLO * 1001}, "more than 1000 messages"),
        ({"max_tokens": 4001}, "max_tokens: 4001 tokens are more than the 4000 that are written at most"),
        ({"logprobs": True}, "logprobs: probabilities are not returned; workflow/scripts/evaluate.py scores texts"),
        ({"n": 2}, "n: one answer is written per request"),
        ({"stop": ""}, "stop: is empty"),
        ({"stop": ["a"] * 5}, "stop: holds 5 texts; 4 at most"),
    ],
)
def test_request_that_is_not_answered_gets_a_400_with_the_reason(server, change, reason):
    status, answer, _ = server.ask(CHAT, GREEDY | change)
    assert status == 400 and reason in answer["error"]["message"], answer
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.slow
def test_openais_client_raises_its_own_errors(client):
    with pytest.raises(openai.BadRequestError, match="temperature: 3 is greater than the maximum of 2"):
        client.chat.completions.create(model="roomy", messages=HELLO, temperature=3)
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-4'; this server has roomy"):
        client.chat.completions.create(model="gpt-4", messages=HELLO)


@pytest.mark.slow
def test_bodies_addresses_and_hosts_that_are_no_business_of_the_server(server):
    assert server.ask(CHAT, b"x" * 10_000_000)[0] == 413
    nested = b'{"messages": ' + b"[" * 900 + b"]" * 900 + b"}"
    for body in (b"{", b"[1]", b"[" * 15000, nested, b'{"temperature": NaN}', b"\xff"):
        assert server.ask(CHAT, body)[0] == 400
    assert server.ask(CHAT, GREEDY, **{"Content-Type": "text/plain"})[0] == 415
    assert server.ask("/v1/nothing")[0] == 404 and server.ask(CHAT)[0] == 405
    status, answer, _ = server.ask("/health", Host="stranger.example")
    assert status == 403 and "stranger.example" in answer["error"]["message"]
    for line in (
        b"nonsense\r\n\r\n",
        b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(line)
            assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert not [line for line in server.lines if "Traceback" in line]


@pytest.mark.slow
def test_fifty_clients_at_once_are_answered_in_few_slots_or_told_to_come_again(server):
    assert server.idle()
    busiest, done = [], threading.Event()

    def watch():
        while not done.is_set():
            state = server.ask("/health")[1]
            busiest.append((state["active"], state["waiting"]))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: server.ask(CHAT, GREEDY | {"max_tokens": 60}), range(50)))
    done.set()
    watcher.join()
    answered = [answer["choices"][0]["message"]["content"] for status, answer, _ in found if status == 200]
    told = [headers for status, _, headers in found if status == 429]
    assert len(answered) + len(told) == 50 and len(answered) >= SLOTS + QUEUE and told
    assert len(set(answered)) == 1 and all(int(headers["Retry-After"]) > 0 for headers in told)
    assert max(active for active, _ in busiest) == SLOTS and max(waiting for _, waiting in busiest) <= QUEUE
    assert server.idle()


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
def test_client_that_goes_away_frees_its_slot(server, stream):
    """Answers of 4,000 tokens take far longer than it takes to notice."""
    assert server.idle()
    body = json.dumps(GREEDY | {"max_tokens": 4000, "stream": stream}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(SLOTS + 2)]
    for one in clients:
        one.sendall(head.encode() + body)
    if stream:
        assert clients[0].recv(100).startswith(b"HTTP/1.1 200")
    ends = time.monotonic() + 20
    while (state := server.ask("/health")[1]) != {"status": "ok", "active": SLOTS, "waiting": 2}:
        assert time.monotonic() < ends, state
    for one in clients:
        one.close()
    assert server.idle(5)
    assert server.ask(CHAT, GREEDY)[0] == 200


@pytest.mark.slow
def test_killed_server_loses_nothing_and_a_token_keeps_others_out(folder):
    files = {path: sha256_file(path) for path in folder.iterdir()}
    told, secret = GREEDY | {"max_tokens": 1000, "stream": True}, {"Authorization": "Bearer secret-1"}
    first = Served(folder, ABOVO_TOKEN="secret-1")
    try:
        assert first.ask(CHAT, GREEDY)[0] == first.ask("/v1/models", Authorization="Bearer no")[0] == 401
        expected = first.ask(CHAT, GREEDY, **secret)[1]["choices"]
        client = openai.OpenAI(base_url=f"{first.url}/v1", api_key="secret-1", max_retries=0)
        stream = client.chat.completions.create(model="roomy", **told)
        next(stream)
        os.kill(first.process.pid, signal.SIGKILL)
        with pytest.raises(Exception, match=r"(?i)peer|incomplete|connection"):
            list(stream)
    finally:
        first.end()
    again = Served(folder, "--port", str(first.port), ABOVO_TOKEN="secret-1")
    try:
        assert again.port == first.port and again.ask(CHAT, GREEDY, **secret)[1]["choices"] == expected
    finally:
        again.end()
    assert files == {path: sha256_file(path) for path in folder.iterdir()}
    assert "secret-1" not in "".join(first.lines + again.lines)


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="no chromium on this machine; the page's script is run by nothing else")
def test_what_is_typed_into_the_page_is_answered_as_a_stream(server, model, tmp_path):
    browser = Browser(f"{server.url}/", tmp_path / "profile")
    try:
        browser.until("document.getElementById('model').textContent === 'roomy'")
        browser.value(
            "document.getElementById('temperature').value = '0'; document.getElementById('max_tokens').value = '40'"
        )
        browser.value(
            "window.seen = []; new MutationObserver(() => { const one = document.querySelector('.said.writing');"
            " if (one) seen.push(one.textContent.length); })"
            ".observe(document.getElementById('talk'), {subtree: true, childList: true, characterData: true})"
        )
        browser.type("peace")
        browser.until("document.querySelectorAll('.said.assistant small').length === 1")
        expected = model.write(model.ask(HELLO), Sampling(temperature=0, max_tokens=40))
        shown = browser.value("document.querySelector('.said.assistant').firstChild.textContent")
        assert shown == expected.text
        assert len(set(browser.value("seen"))) > 5  # the text grew on the page
        browser.type("war")
        browser.until("document.querySelectorAll('.said.assistant small').length === 2")
        talk = [*HELLO, {"role": "assistant", "content": expected.text}, {"role": "user", "content": "war"}]
        later = model.write(model.ask(talk), Sampling(temperature=0, max_tokens=40))
        assert browser.value("document.querySelectorAll('.said.assistant')[1].firstChild.textContent") == later.text
        whole = "[...document.querySelectorAll('.said')].every((one) => one.scrollHeight <= one.clientHeight + 1)"
        assert browser.value(whole), "a text is cut off"
        loaded = browser.value("performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)")
        assert set(loaded) == {server.url}
        browser.value("document.getElementById('temperature').value = '-1'")
        browser.type("law")
        browser.until("document.getElementById('told').textContent.includes('temperature: -1 is less than')")
        assert browser.value("document.getElementById('text').value") == "law"
    finally:
        browser.end()


def test_page_names_no_other_host():
    for path in Path("src/abovo/serving/page").iterdir():
        assert "http" not in path.read_text(encoding="utf-8"), path


def test_others_are_let_in_only_with_a_token_or_when_asked():
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        check_place(host, 8000, None, False)
    check_place("0.0.0.0", 8000, "secret", False)
    check_place("0.0.0.0", 8000, None, True)
    with pytest.raises(AbovoError, match=r"HOST=0.0.0.0: others can reach this address.*ABOVO_TOKEN"):
        check_place("0.0.0.0", 8000, None, False)
    with pytest.raises(AbovoError, match="PORT: there is no port 99999"):
        check_place("127.0.0.1", 99999, None, False)
    for token in ("", "two words", "grün"):
        with pytest.raises(AbovoError, match="ABOVO_TOKEN: is empty, or holds a blank"):
            check_place("127.0.0.1", 8000, token, False)


def test_who_waits_too_long_is_told_and_whoever_leaves_the_queue_frees_its_place():
    async def lived():
        slots = Slots(1, 1, patience=0.05)
        with slots.place(), slots.place():
            give_back = await slots.take()
            with pytest.raises(Refused, match=r"no slot came free within 0.05 s") as told:
                await slots.take()
            assert told.value.status == 503 and told.value.headers() == {"Retry-After": "2"}
            with pytest.raises(Refused, match="2 requests are answered or wait already") as told, slots.place():
                pass
            assert told.value.status == 429
            slots.patience = 60
            leaves, stays = (asyncio.ensure_future(slots.take()) for _ in range(2))
            await asyncio.sleep(0)
            assert (slots.active, slots.waiting) == (1, 2)
            leaves.cancel()
            give_back()
            (await stays)()
            assert (slots.active, slots.waiting) == (0, 0)
        with slots.place():
            pass

    asyncio.run(lived())
