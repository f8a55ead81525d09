"""Providers behind HTTP proxies, end to end: every call goes that way, and no credential anywhere else.

The providers' names are ones that no resolver knows, so what arrives has come through a proxy.
"""

import base64
import json
from typing import Any

import pytest
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.config.written import Resilience
from interlock.resilience.health import Health
from interlock.wiring import with_own_health
from tests.harness.world import asks, place, write_suite
from tests.release.test_judged_rollouts import answers, brevity, judged, settled
from tests.release.test_rollouts import begin, many
from tests.server.harness import events, pool, serving
from tests.server.test_embeddings import EMBEDS, embedding
from tests.server.test_process import ASK, process
from tests.server.test_rehearsal import some_at_once
from tests.server.upstream import Seen, Upstream, answer, refused_port, sse
from tests.server.vendors import ROLE, chat, chat_end, chat_stream, words
from tests.transport.conftest import CERTIFICATE, serving_context
from tests.transport.proxy import Tunnels, proxying
from tests.transport.upstream import answer as raw
from tests.transport.upstream import chunked, scripted

ALPHA, BETA = "alpha.example", "beta.example"
PASSWORD = "canary-p@ss/w:rd%41"
ENV = {"PROXY_PASSWORD": PASSWORD}
SHOWN = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()


def url(proxy: Tunnels | int) -> str:
    port = proxy if isinstance(proxy, int) else proxy.port
    return f"http://ann:${{PROXY_PASSWORD}}@127.0.0.1:{port}"


def behind(alpha: str | None, beta: str | None = None, **sections: Any) -> dict[str, Any]:
    """The config of `pool`, with its two providers behind these proxies."""
    config = pool(f"http://{ALPHA}", f"http://{BETA}", **sections)
    for name, proxy in (("alpha", alpha), ("beta", beta)):
        if proxy is not None:
            config["providers"][name]["proxy"] = proxy
    return config


def reply(seen: Seen) -> Any:
    """Every kind of answer."""
    if seen.path.endswith("/embeddings"):
        return embedding([0.5, 1.0])
    if seen.path.endswith("/count_tokens"):
        return answer({"input_tokens": 1234})
    return chat_stream("Hello", " there") if seen.json.get("stream") else chat("Hello there")


async def test_every_kind_of_call_goes_through_its_providers_proxy_over_one_tunnel_for_many(tmp_path):
    async with (
        Upstream(reply) as up,
        proxying(to=up.port) as proxy,
        serving(tmp_path, behind(url(proxy), url(proxy)), ENV) as server,
    ):
        server.write({**behind(url(proxy), url(proxy)), "models": {**MODELS, "embed": EMBED}})
        assert await server.reloader.reload()
        for _ in range(3):
            whole = await server.chat()
            assert whole.json()["choices"][0]["message"]["content"] == "Hello there"
            streamed = events((await server.chat(stream=True)).text)
            assert streamed[-1] == "[DONE]"
            vectors = await server.client.post("/v1/embeddings", json={"model": "embed", "input": "hello"})
            assert vectors.json()["data"][0]["embedding"] == [0.5, 1.0]
            counted = await server.client.post(
                "/v1/messages/count_tokens",
                json={"model": "claude", "messages": [{"role": "user", "content": "hi"}]},
                headers={"anthropic-version": "2023-06-01"},
            )
            assert counted.headers["x-interlock-counted-by"] == "provider"
        assert len(up.seen) == 12
        assert sorted(proxy.lines) == [f"CONNECT {ALPHA}:80 HTTP/1.1", f"CONNECT {BETA}:80 HTTP/1.1"]
        assert {request.headers["proxy-authorization"] for request in proxy.asked} == {SHOWN}
        assert all("proxy-authorization" not in seen.headers for seen in up.seen)


MODELS = pool("")["models"]
EMBED = {"provider": "alpha", "upstream": "up-e", **EMBEDS}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_continues_a_cut_answer_goes_the_same_way(tmp_path, stream):
    def cut(seen: Seen) -> Any:
        ends = "length" if len(up.seen) == 1 else "stop"
        if not seen.json.get("stream"):
            return chat("A ", finish=ends)
        return chat_stream("A ") if ends == "stop" else sse(ROLE, *words("A "), chat_end("length"))

    lanes = {"long": {"match": {"task": "long"}, "models": ["prod"], "budgets": {"max_continuations": 2}}}
    async with Upstream(cut) as up, proxying(to=up.port) as proxy:
        async with serving(tmp_path, behind(url(proxy), default=None, lanes=lanes), ENV) as server:
            got = await server.chat(model="auto", stream=stream, headers={"x-interlock-task": "long"})
            assert server.record(got).attempts[0].continuations == 1
        assert len(up.seen) == 2


async def test_copies_and_judges_go_the_same_way(tmp_path):
    config = judged(f"http://{ALPHA}", f"http://{BETA}")
    async with (
        Upstream(answers) as home,
        Upstream(brevity) as judge,
        proxying(to={ALPHA: home.port, BETA: judge.port}) as proxy,
    ):
        for provider in config["providers"].values():
            provider["proxy"] = url(proxy)
        async with serving(tmp_path, config, ENV) as server:
            row = await begin(server)
            await many(server, 1)
            found = await settled(server, row["id"])
            assert found["unseen"]["judged"] == 2
            assert (len(home.seen), len(judge.seen)) == (2, 2)


async def test_a_request_that_is_gone_over_again_asks_no_proxy(tmp_path):
    async with (
        Upstream(chat()) as up,
        proxying(to=up.port) as proxy,
        serving(tmp_path, behind(url(proxy)), ENV) as server,
    ):
        asked = await some_at_once(server, server.chat)
        assert (len(up.seen), len(proxy.asked)) == (len(asked), 1)
        assert "rehearsal_failed" not in {line["event"] for line in server.log}


async def test_suites_are_run_the_same_way(tmp_path):
    ports: dict[str, int] = {}
    async with proxying(to=ports) as proxy:
        home = {"kind": "openai", "base_url": f"http://{ALPHA}/v1", "proxy": f"http://127.0.0.1:{proxy.port}"}
        suite = write_suite(tmp_path, [asks("q", expect="yes")], [{"kind": "exact"}])
        providers = {"home": home, "other": home}
        async with place(tmp_path, lambda *_: "yes", providers=providers) as here, here.harness() as harness:
            ports[ALPHA] = here.upstream.port
            run = await harness.run(suite, "new")
    assert [sample.text for sample in run.samples] == ["yes"]


def test_doctor_says_which_proxy_a_provider_is_called_through_and_not_what_that_is_shown(tmp_path):
    file = tmp_path / "interlock.yaml"
    file.write_text(json.dumps(behind("http://ann:${PROXY_PASSWORD}@proxy.example:3128")), "utf-8")
    env = {**ENV, "ALPHA_KEY": "a", "BETA_KEY": "b"}
    shown = CliRunner().invoke(cli, ["doctor", "--config", str(file)], env=env).output
    assert "provider alpha: a key for alpha; called through http://proxy.example:3128" in shown
    assert "provider beta: a key for beta\n" in shown
    assert "canary" not in shown


async def test_u1_a_proxy_that_refuses_is_on_record_the_next_answers_and_no_credential_is_anywhere(tmp_path):
    async def refuse(peer):
        await peer.send(raw(b"canary-body", 407))

    async with Upstream(chat()) as up, proxying(refuse, to=up.port) as proxy:
        config = behind(url(proxy), fallbacks=[{"from": "*", "to": "claude", "when": "any"}])
        config["providers"]["beta"] |= {"kind": "openai", "base_url": f"{up.url}/v1"}
        async with serving(tmp_path, config, ENV) as server:
            got = await server.chat()
            assert (got.status_code, got.headers["x-interlock-route"]) == (200, "beta/claude")
            record = server.record(got)
            first = record.attempts[0]
            assert first.outcome == "connect_failed"
            assert first.detail == "the proxy answered 407: it does not take the credentials"
            for model in ("small", "claude"):
                assert "canary" not in (await server.chat(model=model)).text
            decisions = await server.client.get("/v1/decisions")
            assert "canary" not in decisions.text
            assert b"canary-body" not in everything(tmp_path)
    assert PASSWORD.encode() not in everything(tmp_path)
    assert SHOWN.removeprefix("Basic ").encode() not in everything(tmp_path)


def everything(folder: Any) -> bytes:
    """All that a gateway has written: store, journal, log."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_u2_a_call_that_was_not_connected_in_time_was_not_sent_and_costs_nothing(tmp_path):
    async def say_nothing(peer):
        await peer.gone()

    async with (
        Upstream(chat()) as up,
        proxying(say_nothing, to=up.port) as silent,
        serving(tmp_path, behind(url(silent)), ENV) as server,
    ):
        got = await server.chat(headers={"x-interlock-deadline-ms": "300"})
        assert got.json()["error"]["code"] == "deadline_exceeded"
        assert float(got.headers["x-interlock-cost-usd"]) == 0
        attempt = server.record(got).attempts[0]
        assert (attempt.outcome, attempt.input_tokens, attempt.cost_usd) == ("timeout", None, 0)


async def test_u4_the_breaker_of_one_way_to_an_address_says_nothing_of_another(tmp_path):
    async with Upstream(chat()) as up, proxying(to=up.port) as good:
        config = behind(url(refused_port()), url(good), resilience={"breaker": {"failures": 1, "open_s": 60}})
        config["providers"]["beta"] |= {"kind": "openai", "base_url": f"http://{ALPHA}/v1"}
        config["models"]["claude"]["upstream"] = config["models"]["gpt"]["upstream"]
        async with serving(tmp_path, config, ENV) as server:
            assert (await server.chat()).status_code in {502, 503}
            assert (await server.chat()).json()["error"]["code"] == "overloaded"
            for _ in range(3):
                assert (await server.chat(model="claude")).status_code == 200
            copies = with_own_health(server.gateway.state.setting, Health(), Resilience()).destinations
            assert copies["gpt", None].health is not copies["claude", None].health


async def test_two_providers_at_one_address_never_share_a_connection_through_different_proxies(tmp_path):
    async with (
        Upstream(chat()) as up,
        proxying(to=up.port) as one,
        proxying(to=up.port) as two,
    ):
        config = behind(url(one), url(two))
        config["providers"]["beta"] |= {"kind": "openai", "base_url": f"http://{ALPHA}/v1"}
        async with serving(tmp_path, config, ENV) as server:
            for _ in range(3):
                for model in ("gpt", "claude"):
                    assert (await server.chat(model=model)).status_code == 200
        assert (len(one.asked), len(two.asked)) == (1, 1)
        keys = [seen.headers["authorization"].rpartition("-")[2] for seen in up.seen]
        assert keys == ["alpha", "beta"] * 3
        assert b"-beta" not in one.upwards[0]
        assert b"-alpha" not in two.upwards[0]


async def test_a_reload_with_another_proxy_sends_the_next_call_through_it(tmp_path):
    async with (
        Upstream(chat()) as up,
        proxying(to=up.port) as one,
        proxying(to=up.port) as two,
        serving(tmp_path, behind(url(one)), ENV) as server,
    ):
        for proxy in (one, two):
            server.write(behind(url(proxy)))
            assert await server.reloader.reload()
            assert (await server.chat()).status_code == 200
        assert (len(one.asked), len(two.asked)) == (1, 1)


async def test_u8_a_stream_that_is_reset_behind_a_proxy_ends_in_one_error_event(tmp_path):
    async with Upstream(sse(ROLE, *words("Hel", "lo"), end="reset")) as up, proxying(to=up.port) as proxy:
        said = []
        for config in (behind(url(proxy)), pool(up.url)):
            async with serving(tmp_path, config, ENV) as server:
                got = await server.chat(stream=True)
                last = events(got.text)[-1]
                said.append((last["error"]["code"], server.record(got).attempts[0].detail))
        assert said[0] == said[1]
        assert said[0][0] == "upstream_failed"


async def test_interlock_serve_reaches_a_tls_upstream_through_a_proxy_whole_and_streamed(
    tmp_path, monkeypatch
):
    """The process as it is run in production: uvloop, its own TLS context, a password in its environment."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setenv("PROXY_PASSWORD", PASSWORD)
    seen = []

    async def upstream(peer):
        while True:
            request = await peer.request()
            seen.append(request)
            streamed = json.loads(request.body).get("stream")
            pieces = chat_stream("Hello", " there").pieces if streamed else chat("Hello there").pieces
            parts = [piece for piece in pieces if isinstance(piece, bytes)]
            await peer.send(chunked(*parts) if streamed else raw(parts[0]))

    async with scripted(upstream, tls=serving_context()) as port, proxying() as proxy:
        config = pool(f"https://localhost:{port}")
        config["providers"]["alpha"]["proxy"] = url(proxy)
        async with process(tmp_path, config) as (_, client):
            for _ in range(3):
                whole = await client.post("/v1/chat/completions", json=ASK)
                assert whole.json()["choices"][0]["message"]["content"] == "Hello there"
                streamed = await client.post("/v1/chat/completions", json={**ASK, "stream": True})
                assert events(streamed.text)[-1] == "[DONE]"
    assert len(seen) == 6
    assert proxy.lines == [f"CONNECT localhost:{port} HTTP/1.1"]
    assert proxy.asked[0].headers["proxy-authorization"] == SHOWN
    assert b"completions" not in bytes(proxy.upwards[0])
    assert PASSWORD.encode() not in everything(tmp_path)
