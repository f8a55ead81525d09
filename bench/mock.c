/* An upstream that costs next to nothing, for measuring what stands in front of it.
 *
 *     mock [PORT]        listens on 127.0.0.1 (port 0: any) and prints the port on one line
 *
 * It answers OpenAI chat completions, one at a time per connection, by what the request's body says:
 *     no "stream": true               one JSON object of about 1 KB
 *     "stream": true                  100 events and [DONE], handed to the kernel in one write
 *     ... and a model named *padded   the same, each event padded by another string, as OpenAI does
 *     ... and a model named *pacedN   the same events, one every N ms; each text holds "@MICROSECONDS@", the
 *                                     monotonic time at which it was sent, so that a client here can tell its lag
 * Anything but a POST with a content-length is answered by closing the connection. One thread; ends by a signal.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 100, LARGEST_REQUEST = 16 << 20, LARGEST_EVENT = 1024, MOST_AT_ONCE = 256 };

struct buffer {
    char *bytes;
    size_t used, room;
};

struct peer {
    int fd;
    struct buffer in, out;
    size_t written;     /* of `out` */
    int period_ms;      /* 0: not in a paced answer */
    int sent;           /* events of the paced answer so far */
    int64_t due_us;     /* of its next event */
    struct peer *next;  /* in `pacing` */
};

static int poller;
static struct peer *pacing;
static struct buffer whole_answer, burst_answer, padded_answer;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void reserve(struct buffer *buffer, size_t more) {
    if (buffer->used + more <= buffer->room)
        return;
    buffer->room = (buffer->used + more) * 2;
    buffer->bytes = realloc(buffer->bytes, buffer->room);
    if (buffer->bytes == NULL)
        abort();
}

static void append(struct buffer *buffer, const char *bytes, size_t count) {
    reserve(buffer, count);
    memcpy(buffer->bytes + buffer->used, bytes, count);
    buffer->used += count;
}

static void append_text(struct buffer *buffer, const char *text) {
    append(buffer, text, strlen(text));
}

/* One HTTP chunk that holds one event; `padding` is empty, or a field and the comma before it. */
static void append_padded(struct buffer *buffer, const char *delta, const char *finish, const char *usage,
                          const char *padding) {
    char event[LARGEST_EVENT], size[16];
    int length = snprintf(event, sizeof event,
        "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
        "\"model\":\"mock-1\",\"choices\":[%s%s%s%s%s],\"usage\":%s%s}\n\n",
        delta ? "{\"index\":0,\"delta\":{" : "", delta ? delta : "",
        delta ? "},\"finish_reason\":" : "", delta ? finish : "", delta ? "}" : "", usage, padding);
    snprintf(size, sizeof size, "%x\r\n", length);
    append_text(buffer, size);
    append(buffer, event, (size_t)length);
    append_text(buffer, "\r\n");
}

static void append_event(struct buffer *buffer, const char *delta, const char *finish, const char *usage) {
    append_padded(buffer, delta, finish, usage, "");
}

/* The text at a place of the stream, with the 1 to 16 characters of padding that go with it. */
static void append_with_padding(struct buffer *buffer, int place) {
    static const char letters[] = "q0Zr7LmC2xVb9TkE5sWyJ4uHa8NdPf1g";
    char padding[64];
    snprintf(padding, sizeof padding, ",\"obfuscation\":\"%.*s\"", 1 + place * 7 % 16, letters + place * 5 % 16);
    append_padded(buffer, "\"content\":\"@0@ one more bit of text\"", "null", "null", padding);
}

/* The event at a place of the stream: the role, text, the finish, and last what was used. */
static void append_nth(struct buffer *buffer, int place, int64_t mark_us) {
    char delta[256];
    if (place == 0)
        append_event(buffer, "\"role\":\"assistant\",\"content\":\"\"", "null", "null");
    else if (place == EVENTS - 2)
        append_event(buffer, "", "\"stop\"", "null");
    else if (place == EVENTS - 1)
        append_event(buffer, NULL, NULL,
                     "{\"prompt_tokens\":200,\"completion_tokens\":97,\"total_tokens\":297}");
    else {
        snprintf(delta, sizeof delta, "\"content\":\"@%lld@ one more bit of text\"", (long long)mark_us);
        append_event(buffer, delta, "null", "null");
    }
}

static void append_stream_head(struct buffer *buffer) {
    append_text(buffer, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
                        "transfer-encoding: chunked\r\n\r\n");
}

static void append_stream_end(struct buffer *buffer) {
    append_text(buffer, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
}

static void prepare_answers(void) {
    char text[641], body[2048], head[256];
    for (size_t place = 0; place < sizeof text - 1; place++)
        text[place] = "some words of an answer "[place % 24];
    text[sizeof text - 1] = 0;
    int length = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"mock-1\","
        "\"system_fingerprint\":\"fp_mock\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":130,\"total_tokens\":330}}", text);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n",
             length);
    append_text(&whole_answer, head);
    append(&whole_answer, body, (size_t)length);
    append_stream_head(&burst_answer);
    for (int place = 0; place < EVENTS; place++)
        append_nth(&burst_answer, place, 0);
    append_stream_end(&burst_answer);
    append_stream_head(&padded_answer);
    for (int place = 0; place < EVENTS; place++)
        if (place == 0 || place >= EVENTS - 2)
            append_nth(&padded_answer, place, 0);
        else
            append_with_padding(&padded_answer, place);
    append_stream_end(&padded_answer);
}

static void watch(struct peer *peer, int operation, uint32_t events) {
    struct epoll_event wanted = {.events = events, .data.ptr = peer};
    epoll_ctl(poller, operation, peer->fd, &wanted);
}

static void stop_pacing(struct peer *peer) {
    for (struct peer **link = &pacing; *link != NULL; link = &(*link)->next)
        if (*link == peer) {
            *link = peer->next;
            break;
        }
    peer->period_ms = 0;
}

static void forget(struct peer *peer) {
    stop_pacing(peer);
    close(peer->fd);
    free(peer->in.bytes);
    free(peer->out.bytes);
    free(peer);
}

/* Hand over what is queued; false if the peer has gone. */
static bool flush(struct peer *peer) {
    while (peer->written < peer->out.used) {
        ssize_t count = send(peer->fd, peer->out.bytes + peer->written, peer->out.used - peer->written, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
            watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return true;
        }
        if (count < 0)
            return false;
        peer->written += (size_t)count;
    }
    peer->written = peer->out.used = 0;
    return true;
}

/* Where the name of the model has a word in it, or NULL. */
static const char *in_model(const char *body, size_t length, const char *word) {
    const char *model = memmem(body, length, "\"model\"", 7);
    if (model == NULL)
        return NULL;
    size_t left = length - (size_t)(model - body);
    return memmem(model, left < 96 ? left : 96, word, strlen(word));
}

/* N of a model named "...pacedN", else 0. */
static int period_of(const char *body, size_t length) {
    const char *paced = in_model(body, length, "paced");
    return paced == NULL ? 0 : atoi(paced + 5);
}

static void answer(struct peer *peer, const char *body, size_t length) {
    bool stream = memmem(body, length, "\"stream\":true", 13) || memmem(body, length, "\"stream\": true", 14);
    int period_ms = stream ? period_of(body, length) : 0;
    if (!stream)
        append(&peer->out, whole_answer.bytes, whole_answer.used);
    else if (period_ms <= 0 && in_model(body, length, "padded"))
        append(&peer->out, padded_answer.bytes, padded_answer.used);
    else if (period_ms <= 0)
        append(&peer->out, burst_answer.bytes, burst_answer.used);
    else {
        append_stream_head(&peer->out);
        peer->period_ms = period_ms;
        peer->sent = 0;
        peer->due_us = now_us() + period_ms * INT64_C(1000);
        peer->next = pacing;
        pacing = peer;
    }
}

/* Answer every whole request that has arrived; false if the peer is to be forgotten. */
static bool serve(struct peer *peer) {
    while (peer->period_ms == 0 && peer->in.used > 0) {
        const char *end = memmem(peer->in.bytes, peer->in.used, "\r\n\r\n", 4);
        if (end == NULL)
            return peer->in.used < LARGEST_REQUEST;
        size_t head = (size_t)(end - peer->in.bytes) + 4;
        peer->in.bytes[head - 1] = 0;
        const char *field = strcasestr(peer->in.bytes, "\ncontent-length:");
        peer->in.bytes[head - 1] = '\n';
        if (field == NULL || memcmp(peer->in.bytes, "POST ", 5) != 0)
            return false;
        size_t body = strtoul(field + 16, NULL, 10);
        if (body > LARGEST_REQUEST)
            return false;
        if (peer->in.used < head + body)
            return true;
        answer(peer, peer->in.bytes + head, body);
        peer->in.used -= head + body;
        memmove(peer->in.bytes, peer->in.bytes + head + body, peer->in.used);
    }
    return flush(peer);
}

static bool take_in(struct peer *peer) {
    reserve(&peer->in, 16384);
    ssize_t count = recv(peer->fd, peer->in.bytes + peer->in.used, peer->in.room - peer->in.used, 0);
    if (count <= 0)
        return count < 0 && errno == EAGAIN;
    peer->in.used += (size_t)count;
    return serve(peer);
}

static void send_what_is_due(void) {
    for (struct peer *peer = pacing, *next; peer != NULL; peer = next) {
        next = peer->next;
        int64_t now = now_us();
        if (peer->due_us > now)
            continue;
        append_nth(&peer->out, peer->sent++, now);
        peer->due_us = now + peer->period_ms * INT64_C(1000);
        bool done = peer->sent == EVENTS;
        if (done) {
            append_stream_end(&peer->out);
            stop_pacing(peer);
        }
        if (!(flush(peer) && (!done || serve(peer))))
            forget(peer);
    }
}

static int until_due_ms(void) {
    if (pacing == NULL)
        return -1;
    int64_t first = pacing->due_us;
    for (struct peer *peer = pacing; peer != NULL; peer = peer->next)
        if (peer->due_us < first)
            first = peer->due_us;
    int64_t left = first - now_us();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

static void welcome(int door) {
    for (int fd, yes = 1; (fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct peer *peer = calloc(1, sizeof *peer);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        peer->fd = fd;
        watch(peer, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int open_door(int port) {
    int yes = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(door, (struct sockaddr *)&address, size) < 0 || listen(door, 1024) < 0) {
        perror("mock");
        exit(1);
    }
    getsockname(door, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return door;
}

int main(int count, char **arguments) {
    int door = open_door(count > 1 ? atoi(arguments[1]) : 0);
    prepare_answers();
    poller = epoll_create1(0);
    struct epoll_event ready[MOST_AT_ONCE], wanted = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, door, &wanted);
    for (;;) {
        int events = epoll_wait(poller, ready, MOST_AT_ONCE, until_due_ms());
        for (int place = 0; place < events; place++) {
            struct peer *peer = ready[place].data.ptr;
            if (peer == NULL) {
                welcome(door);
                continue;
            }
            bool alive = true;
            if (ready[place].events & EPOLLOUT) {
                watch(peer, EPOLL_CTL_MOD, EPOLLIN);
                alive = flush(peer);
            }
            if (alive && ready[place].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                alive = take_in(peer);
            if (!alive)
                forget(peer);
        }
        send_what_is_due();
    }
}
