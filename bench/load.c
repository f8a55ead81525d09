/* A client that asks the same thing over and over, and says in JSON how it went. 127.0.0.1 only; ends by itself.
 *
 *     load -p PORT -u PATH -b BODYFILE -s SECONDS [-c CONNECTIONS] [-r RATE] [-H "name: value"]...
 *
 * Without -r every connection asks again as soon as it is answered (closed loop). With -r requests start at fixed
 * instants, RATE a second, whether or not earlier ones are done (open loop); latency then counts from the instant
 * at which a request was due, so that a slow server cannot hide behind its own slowness.
 *
 * The first run of eight `#` in the body becomes another word with each request, so that no text comes twice.
 *
 * An answer is good if its status is 2xx, it is complete, and, being a stream, ends with [DONE]. `events` are the
 * SSE events of good answers; `lag_us` is the age on arrival of events that hold a mark "@MICROSECONDS@".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST_ANSWER = 1 << 20, MOST_AT_ONCE = 256, GRACE_US = 5000000, SAMPLES = 1 << 22 };

struct samples {
    int64_t *values;
    size_t count;
};

/* Where the reader is in an answer. */
enum place { IN_HEAD, IN_BODY, IN_CHUNK_SIZE, IN_CHUNK, AFTER_CHUNK };

struct call {
    int fd;
    bool busy;
    int64_t due_us;         /* when it was to start */
    bool seen_byte;
    enum place place;
    int status;
    size_t left;            /* of the body, or of the chunk */
    bool last_chunk, closes;
    char *raw;              /* bytes not yet understood: a head, or the line of a chunk's size */
    size_t raw_used;
    char *body;
    size_t body_used, marks_read;
};

static int port, poller, connections = 32;
static double seconds, rate;
static char *request;
static size_t request_size;
static char *number; /* eight letters in the request that count up; NULL: nothing changes */
static unsigned long last_number;
static struct samples latency, first_byte, lag;
static long started, good, errors, not_2xx, truncated, events;
static int bad_status;   /* the last that was not 2xx */
static long long received;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void note(struct samples *samples, int64_t value) {
    if (samples->values == NULL)
        samples->values = malloc(SAMPLES * sizeof *samples->values);
    if (samples->count < SAMPLES)
        samples->values[samples->count++] = value;
}

static void *reserve(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL)
        abort();
    return memory;
}

/* --- connections ------------------------------------------------------------------------------------------- */

static void hang_up(struct call *call) {
    if (call->fd >= 0)
        close(call->fd);
    call->fd = -1;
}

static bool dial(struct call *call) {
    int yes = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    call->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (call->fd < 0 || connect(call->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        hang_up(call);
        return false;
    }
    setsockopt(call->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = call};
    epoll_ctl(poller, EPOLL_CTL_ADD, call->fd, &wanted);
    return true;
}

/* Put a word into the request that was in none before. */
static void renew(void) {
    unsigned long count = ++last_number;
    for (int place = 7; place >= 0; place--, count >>= 4)
        number[place] = (char)('a' + (count & 15));
}

static void begin(struct call *call, int64_t due_us) {
    started++;
    if (number != NULL)
        renew();
    call->due_us = due_us;
    call->place = IN_HEAD;
    call->seen_byte = call->last_chunk = call->closes = false;
    call->raw_used = call->body_used = call->marks_read = 0;
    call->busy = (call->fd >= 0 || dial(call)) &&
                 send(call->fd, request, request_size, MSG_NOSIGNAL) == (ssize_t)request_size;
    if (!call->busy) {
        errors++;
        hang_up(call);
    }
}

static void fail(struct call *call) {
    errors++;
    call->busy = false;
    hang_up(call);
}

/* --- answers ----------------------------------------------------------------------------------------------- */

static long count_events(const struct call *call) {
    long found = 0;
    const char *at = call->body, *end = call->body + call->body_used;
    while ((at = memmem(at, (size_t)(end - at), "\n\n", 2)) != NULL) {
        found++;
        at += 2;
    }
    return found;
}

static void finish(struct call *call) {
    const char *end = "data: [DONE]\n\n";
    size_t length = strlen(end);
    bool stream = call->body_used >= 6 && (memcmp(call->body, "data: ", 6) == 0 || memcmp(call->body, "event:", 6) == 0);
    bool whole = !stream || (call->body_used >= length && memcmp(call->body + call->body_used - length, end, length) == 0);
    call->busy = false;
    if (call->status < 200 || call->status > 299) {
        not_2xx++;
        bad_status = call->status;
    } else if (!whole)
        truncated++;
    else {
        good++;
        events += stream ? count_events(call) : 0;
        note(&latency, now_us() - call->due_us);
    }
    if (call->closes)
        hang_up(call);
}

static void read_marks(struct call *call) {
    int64_t now = now_us();
    for (;;) {
        char *body = call->body, *from = memchr(body + call->marks_read, '@', call->body_used - call->marks_read);
        if (from == NULL) {
            call->marks_read = call->body_used;
            return;
        }
        char *to = memchr(from + 1, '@', call->body_used - (size_t)(from + 1 - body));
        call->marks_read = (size_t)((to == NULL ? from : to + 1) - body);
        if (to == NULL)
            return;
        int64_t mark = strtoll(from + 1, NULL, 10);
        if (mark > 0)
            note(&lag, now - mark);
    }
}

/* What a head says; false if it says nothing we understand. */
static bool read_head(struct call *call) {
    if (sscanf(call->raw, "HTTP/1.1 %d", &call->status) != 1)
        return false;
    const char *length = strcasestr(call->raw, "\ncontent-length:");
    bool chunked = strcasestr(call->raw, "\ntransfer-encoding: chunked") != NULL;
    call->closes = strcasestr(call->raw, "\nconnection: close") != NULL;
    call->place = chunked ? IN_CHUNK_SIZE : IN_BODY;
    call->left = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
    return chunked || length != NULL;
}

/* Collect a line, or a head up to its empty line; returns how many bytes it took, and whether it is whole. */
static size_t collect(struct call *call, const char *bytes, size_t count, const char *end, bool *whole) {
    size_t length = strlen(end), taken = 0;
    *whole = false;
    while (taken < count && !*whole && call->raw_used < 65535) {
        call->raw[call->raw_used++] = bytes[taken++];
        *whole = call->raw_used >= length && memcmp(call->raw + call->raw_used - length, end, length) == 0;
    }
    call->raw[call->raw_used] = 0;
    return taken;
}

static size_t keep(struct call *call, const char *bytes, size_t count) {
    size_t taken = count < call->left ? count : call->left;
    if (call->body_used + taken <= LARGEST_ANSWER) {
        memcpy(call->body + call->body_used, bytes, taken);
        call->body_used += taken;
    }
    call->left -= taken;
    return taken;
}

/* Understand what has arrived; false if it is not HTTP. */
static bool understand(struct call *call, const char *bytes, size_t count) {
    bool whole;
    while (count > 0 && call->busy) {
        size_t taken = 0;
        switch (call->place) {
        case IN_HEAD:
            taken = collect(call, bytes, count, "\r\n\r\n", &whole);
            if (whole && !read_head(call))
                return false;
            if (whole)
                call->raw_used = 0;
            if (whole && call->place == IN_BODY && call->left == 0)
                finish(call);
            break;
        case IN_BODY:
            taken = keep(call, bytes, count);
            if (call->left == 0)
                finish(call);
            break;
        case IN_CHUNK_SIZE:
            taken = collect(call, bytes, count, "\r\n", &whole);
            if (whole) {
                call->left = strtoul(call->raw, NULL, 16);
                call->last_chunk = call->left == 0;
                call->place = call->last_chunk ? AFTER_CHUNK : IN_CHUNK;
                call->raw_used = 0;
            }
            break;
        case IN_CHUNK:
            taken = keep(call, bytes, count);
            if (call->left == 0)
                call->place = AFTER_CHUNK;
            break;
        case AFTER_CHUNK:
            taken = collect(call, bytes, count, "\r\n", &whole);
            if (whole) {
                call->place = IN_CHUNK_SIZE;
                call->raw_used = 0;
                if (call->last_chunk)
                    finish(call);
            }
            break;
        }
        if (taken == 0)
            return false;
        bytes += taken;
        count -= taken;
    }
    return true;
}

static void take_in(struct call *call) {
    static char bytes[1 << 16];
    ssize_t count = recv(call->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0 || !call->busy) {
        if (call->busy)
            fail(call);
        else
            hang_up(call);
        return;
    }
    received += count;
    if (!call->seen_byte) {
        call->seen_byte = true;
        note(&first_byte, now_us() - call->due_us);
    }
    if (!understand(call, bytes, (size_t)count))
        fail(call);
    else
        read_marks(call);
}

/* --- the run ----------------------------------------------------------------------------------------------- */

static void set_alarm(int clock, int64_t at_us) {
    struct itimerspec when = {.it_value = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000}};
    timerfd_settime(clock, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Start what is due; returns how many requests of an open loop have been started by now. */
static long start_due(struct call *calls, int clock, int64_t start_us, int64_t end_us, long arrived) {
    int64_t now = now_us();
    for (int place = 0; place < connections; place++) {
        if (calls[place].busy)
            continue;
        if (rate <= 0) {
            if (now < end_us)
                begin(&calls[place], now);
            continue;
        }
        int64_t due_us = start_us + (int64_t)((double)arrived * 1e6 / rate);
        if (due_us > now || due_us >= end_us)
            break;
        begin(&calls[place], due_us);
        arrived++;
    }
    int64_t next_us = start_us + (int64_t)((double)arrived * 1e6 / rate);
    if (rate > 0 && next_us > now)
        set_alarm(clock, next_us);
    return arrived;
}

static bool any_busy(const struct call *calls) {
    for (int place = 0; place < connections; place++)
        if (calls[place].busy)
            return true;
    return false;
}

static double run(struct call *calls) {
    int clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event ready[MOST_AT_ONCE], wanted = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, clock, &wanted);
    int64_t start_us = now_us(), end_us = start_us + (int64_t)(seconds * 1e6);
    long arrived = 0;
    while (now_us() < end_us + GRACE_US) {
        arrived = start_due(calls, clock, start_us, end_us, arrived);
        if (now_us() >= end_us && !any_busy(calls))
            break;
        int count = epoll_wait(poller, ready, MOST_AT_ONCE, 20);
        for (int place = 0; place < count; place++) {
            uint64_t ticks;
            if (ready[place].data.ptr != NULL)
                take_in(ready[place].data.ptr);
            else if (read(clock, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
                abort();
        }
    }
    for (int place = 0; place < connections; place++)
        if (calls[place].busy)
            fail(&calls[place]);
    return (double)(now_us() - start_us) / 1e6;
}

static int ascending(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void print_samples(const char *name, struct samples *samples) {
    if (samples->count == 0) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(samples->values, samples->count, sizeof *samples->values, ascending);
    size_t last = samples->count - 1;
    printf(",\"%s\":{\"count\":%zu,\"p50\":%lld,\"p90\":%lld,\"p99\":%lld,\"max\":%lld}", name, samples->count,
           (long long)samples->values[last / 2], (long long)samples->values[last * 9 / 10],
           (long long)samples->values[last * 99 / 100], (long long)samples->values[last]);
}

static void write_request(const char *path, const char *headers, const char *body_file) {
    static char body[1 << 20];
    FILE *file = fopen(body_file, "rb");
    if (file == NULL) {
        perror(body_file);
        exit(2);
    }
    size_t length = fread(body, 1, sizeof body, file);
    fclose(file);
    request = reserve(length + strlen(path) + strlen(headers) + 256);
    int head = sprintf(request,
        "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n%s\r\n",
        path, port, length, headers);
    memcpy(request + head, body, length);
    request_size = (size_t)head + length;
    number = memmem(request, request_size, "########", 8);
    struct timespec begun;
    clock_gettime(CLOCK_REALTIME, &begun);
    /* Runs do not repeat each other. */
    last_number = ((unsigned long)begun.tv_sec * 1000 + (unsigned long)begun.tv_nsec / 1000000) * 256;
}

int main(int count, char **arguments) {
    static char headers[8192];
    const char *path = "/v1/chat/completions", *body_file = NULL;
    for (int option; (option = getopt(count, arguments, "p:u:b:s:c:r:H:")) != -1;)
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 'b': body_file = optarg; break;
        case 's': seconds = atof(optarg); break;
        case 'c': connections = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'H': strncat(strncat(headers, optarg, 4000), "\r\n", 3); break;
        default: return 2;
        }
    if (port == 0 || body_file == NULL || seconds <= 0 || seconds > 60 || connections < 1 || connections > 1000) {
        fprintf(stderr, "usage: load -p PORT -b BODYFILE -s SECONDS [-u PATH] [-c CONNECTIONS] [-r RATE] [-H HEADER]\n");
        return 2;
    }
    write_request(path, headers, body_file);
    poller = epoll_create1(0);
    struct call *calls = calloc((size_t)connections, sizeof *calls);
    for (int place = 0; place < connections; place++) {
        calls[place].fd = -1;
        calls[place].raw = reserve(65536);
        calls[place].body = reserve(LARGEST_ANSWER);
    }
    double took = run(calls);
    printf("{\"started\":%ld,\"good\":%ld,\"errors\":%ld,\"not_2xx\":%ld,\"bad_status\":%d,\"truncated\":%ld,\"seconds\":%.4f,"
           "\"bytes\":%lld,\"events\":%ld", started, good, errors, not_2xx, bad_status, truncated, took, received, events);
    print_samples("latency_us", &latency);
    print_samples("first_byte_us", &first_byte);
    print_samples("lag_us", &lag);
    printf("}\n");
    return 0;
}
