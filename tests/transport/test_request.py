"""Urls and heads: what is sent, and what never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.transport.request import Origin, begin_head, parse_url

CHAT = "https://api.example.com/v1/chat/completions"


@pytest.mark.parametrize(
    ("url", "origin", "line", "host"),
    [
        (CHAT, Origin(True, "api.example.com", 443), "/v1/chat/completions", "api.example.com"),
        ("http://127.0.0.1:8081/v1?a=b&c", Origin(False, "127.0.0.1", 8081), "/v1?a=b&c", "127.0.0.1:8081"),
        ("http://HOST.example", Origin(False, "host.example", 80), "/", "host.example"),
        ("http://h:80/x", Origin(False, "h", 80), "/x", "h"),
        ("https://h:80/x", Origin(True, "h", 80), "/x", "h:80"),
        ("https://h?q", Origin(True, "h", 443), "/?q", "h"),
        ("http://[::1]:9/x", Origin(False, "::1", 9), "/x", "[::1]:9"),
    ],
)
def test_a_url_names_an_origin_a_path_and_a_host_header(url, origin, line, host):
    destination = parse_url(url)
    assert destination.origin == origin
    assert destination.first_lines.split("\r\n")[:2] == [f"POST {line} HTTP/1.1", f"host: {host}"]


@pytest.mark.parametrize(
    "url",
    [
        "http://h/\r\nx-evil: 1",
        "http://h/\nx",
        "http://h/\0",
        "http://h/\t",
        "http://h/a b",
        "http://h\\@evil/",
        "http://user:secret@h/",
        "http://h/#fragment",
        "http://h/é",
        "http://bücher.example/",
        "http:///path",
        "http://a..b/",
        f"http://{'a' * 64}.example/",
        "http://h:99999/",
        "http://h:0/",
        "http://h:x/",
        "http://[::1/",
        "ftp://h/",
        "file:///etc/passwd",
        "h/path",
        "",
    ],
)
def test_a_url_that_is_not_plain_http_is_refused(url):
    with pytest.raises(ValueError):
        parse_url(url)


def test_the_head_is_exactly_what_was_given_and_what_we_add():
    headers = ("authorization", "Bearer k"), ("content-type", "application/json")
    origin, head = begin_head(CHAT, headers)
    assert origin == Origin(True, "api.example.com", 443)
    assert head == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"host: api.example.com\r\n"
        b"accept-encoding: identity\r\n"
        b"authorization: Bearer k\r\n"
        b"content-type: application/json\r\n"
        b"content-length: "
    )


@pytest.mark.parametrize("bad", ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "\n", "a€b", "ä"])
def test_u17_a_line_break_in_a_header_value_is_refused_without_showing_the_value(bad):
    with pytest.raises(ValueError) as refusal:
        begin_head(CHAT, (("x-fine", "1"), ("authorization", f"sk-canary{bad}")))
    assert "`authorization`" in str(refusal.value)
    assert "canary" not in str(refusal.value)
    assert refusal.value.__context__ is None, "another error would carry the whole head along"


@pytest.mark.parametrize("name", ["a\r\nb", "a: b", "a b", "", "a\0", "ä", "a\n"])
def test_u17_a_header_name_that_is_no_token_is_refused(name):
    with pytest.raises(ValueError):
        begin_head(CHAT, ((name, "x"),))


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "connection", "accept-encoding"]
)
def test_headers_that_frame_the_message_are_ours_alone(name):
    with pytest.raises(ValueError, match="set by the transport"):
        begin_head(CHAT, ((name, "x"),))


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=5))
def test_no_header_ever_adds_a_line(headers):
    try:
        _, head = begin_head(CHAT, tuple(headers))
    except ValueError:
        return
    lines = head.split(b"\r\n")
    assert len(lines) == 4 + len(headers)
    assert b"\n" not in b"".join(lines)
    assert b"\r\n\r\n" not in head
