/* Streams, events and SMP requests: docs/wire.md, sections 4 to 6. */
#include "edx.h"

#include <string.h>

enum { READ = 0, WRITE = 2, HEAD = 8, STREAM_HEAD = 24, EVENT_HEAD = 16 };
enum { OS = 0, IMAGE = 1, EDGE_DX = 0x4544 };
enum { ECHO = 0, RESET = 5, PARAMETERS = 6, STATE = 0, UPLOAD = 1, ERASE = 5 };
enum { HELLO = 0, PING = 1, START = 2, STOP = 3, VERDICT = 4, COUNTERS = 5 };
enum { OK = 0, UNKNOWN = 1, INVALID = 3, NO_ENTRY = 5, BAD_STATE = 6, NOT_SUPPORTED = 8 };

typedef struct {
    uint8_t op, command, sequence;
    uint16_t group;
    const uint8_t *body;
    size_t n;
} request_t;

static void put_little(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* --- what waits --- */

static uint8_t ring_byte(const edx_device *d, size_t at)
{
    return d->ring[(d->ring_at + at) % EDX_RING];
}

static size_t head_size(const edx_device *d)
{
    return ring_byte(d, 0) | (size_t)ring_byte(d, 1) << 8;
}

static edx_running *stream_of(edx_device *d, uint8_t id)
{
    for (size_t i = 0; i < d->board->stream_count; i++) {
        if (d->board->streams[i].id == id) {
            return &d->streams[i];
        }
    }
    return NULL;
}

static void ring_leave(edx_device *d, size_t n)
{
    d->ring_at = (d->ring_at + n) % EDX_RING;
    d->ring_n -= n;
    d->left++;
}

static void drop_oldest(edx_device *d)
{
    if (ring_byte(d, 2) == EDX_STREAM) {
        edx_running *running = stream_of(d, ring_byte(d, 5));
        if (running != NULL) {
            running->dropped += ring_byte(d, 9) | (uint32_t)ring_byte(d, 10) << 8;
            running->overflow = true;
        }
    }
    ring_leave(d, 3 + head_size(d));
}

static void queue(edx_device *d, uint8_t channel, const uint8_t *payload, size_t n)
{
    while (d->ring_n + 3 + n > EDX_RING) {
        drop_oldest(d);
    }
    const uint8_t head[3] = {(uint8_t)n, (uint8_t)(n >> 8), channel};
    for (size_t i = 0; i < 3 + n; i++) {
        d->ring[(d->ring_at + d->ring_n + i) % EDX_RING] = i < 3 ? head[i] : payload[i - 3];
    }
    d->ring_n += 3 + n;
    d->queued++;
}

/* --- streams --- */

static void flush(edx_device *d, size_t stream)
{
    edx_running *r = &d->streams[stream];
    if (r->open_n == 0) {
        return;
    }
    const edx_stream_info *info = &d->board->streams[stream];
    uint8_t *at = r->open;
    at[0] = 0x11;
    at[1] = r->open_off != 0 ? EDX_FLAG_LEAD_OFF : 0;
    at[2] = info->id;
    at[3] = info->format;
    put_little(at + 4, d->board->boot_id, 2);
    put_little(at + 6, r->open_n, 2);
    put_little(at + 8, r->open_first, 4);
    put_little(at + 12, r->open_us, 8);
    put_little(at + 20, 0, 4); /* set when it leaves */
    queue(d, EDX_STREAM, r->open, r->open_bytes);
    r->open_n = 0;
}

void edx_push(edx_device *d, size_t stream, uint64_t t_us, const int32_t *counts,
              uint32_t leads_off)
{
    edx_running *r = &d->streams[stream];
    const edx_stream_info *info = &d->board->streams[stream];
    const size_t width = (size_t)info->format + 1;
    const size_t size = width * info->lead_count;
    const uint32_t index = r->next++;
    if (!r->on) {
        return;
    }
    if (r->open_n > 0 && (r->open_off != leads_off ||
                          r->open_bytes + size > EDX_MAX_FRAME - 5)) {
        flush(d, stream);
    }
    if (r->open_n == 0) {
        r->open_first = index;
        r->open_us = t_us;
        r->open_off = leads_off;
        r->open_bytes = STREAM_HEAD;
        if (leads_off != 0) {
            put_little(r->open + STREAM_HEAD, leads_off, 4);
            r->open_bytes += 4;
        }
    }
    for (size_t lead = 0; lead < info->lead_count; lead++) {
        put_little(r->open + r->open_bytes, (uint32_t)counts[lead], (unsigned)width);
        r->open_bytes += width;
    }
    if (++r->open_n >= info->per_message) {
        flush(d, stream);
    }
}

void edx_log(edx_device *d, const char *text)
{
    const size_t n = strlen(text);
    queue(d, EDX_LOG, (const uint8_t *)text, n < 120 ? n : 120);
}

void edx_event(edx_device *d, uint8_t kind, const uint8_t *map, size_t n)
{
    uint8_t payload[EVENT_HEAD + 255];
    static const uint8_t nothing = 0xA0;
    if (map == NULL || n > 255) {
        map = &nothing;
        n = 1;
    }
    payload[0] = 0x13;
    payload[1] = kind;
    put_little(payload + 2, d->board->boot_id, 2);
    put_little(payload + 4, d->events++, 4);
    put_little(payload + 8, d->board->time_us(d->board->context), 8);
    memcpy(payload + EVENT_HEAD, map, n);
    queue(d, EDX_EVENT, payload, EVENT_HEAD + n);
}

/* --- answers --- */

static void put_key_text(edx_writer *w, const char *key, const char *text)
{
    edx_put_text(w, key);
    edx_put_text(w, text);
}

static void put_key_uint(edx_writer *w, const char *key, uint64_t value)
{
    edx_put_text(w, key);
    edx_put_uint(w, value);
}

static void hello(const edx_device *d, edx_writer *w)
{
    const edx_board *b = d->board;
    edx_put_map(w, 10);
    edx_put_text(w, "proto");
    edx_put_array(w, 2);
    edx_put_uint(w, 1);
    edx_put_uint(w, 0);
    put_key_text(w, "device", b->device);
    put_key_text(w, "serial", b->serial);
    put_key_text(w, "firmware", b->firmware);
    put_key_uint(w, "boot_id", b->boot_id);
    put_key_uint(w, "max_frame", EDX_MAX_FRAME);
    put_key_uint(w, "buffers", 1);
    put_key_uint(w, "mains_hz", b->mains_hz);
    edx_put_text(w, "features");
    edx_put_array(w, (size_t)(b->flash != NULL) + (size_t)(b->verdict != NULL));
    if (b->flash != NULL) {
        edx_put_text(w, "image");
    }
    if (b->verdict != NULL) {
        edx_put_text(w, "verdict");
    }
    edx_put_text(w, "streams");
    edx_put_array(w, b->stream_count);
    for (size_t i = 0; i < b->stream_count; i++) {
        const edx_stream_info *s = &b->streams[i];
        edx_put_map(w, 9);
        put_key_uint(w, "id", s->id);
        put_key_text(w, "name", s->name);
        edx_put_text(w, "rate");
        edx_put_array(w, 2);
        edx_put_uint(w, s->rate_num);
        edx_put_uint(w, s->rate_den);
        edx_put_text(w, "leads");
        edx_put_array(w, s->lead_count);
        for (size_t lead = 0; lead < s->lead_count; lead++) {
            edx_put_text(w, s->leads[lead]);
        }
        put_key_text(w, "unit", s->unit);
        edx_put_text(w, "scale");
        edx_put_float(w, s->scale);
        put_key_uint(w, "format", s->format);
        put_key_uint(w, "bits", s->bits);
        put_key_uint(w, "per_message", s->per_message);
    }
}

static void place(const edx_device *d, edx_writer *w)
{
    edx_put_map(w, 3);
    put_key_uint(w, "boot", d->board->boot_id);
    put_key_uint(w, "next", d->place_next);
    put_key_uint(w, "dropped", d->streams[d->place_stream].dropped);
}

static size_t decimal(char *text, uint32_t value)
{
    char digits[10];
    size_t n = 0, at = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (n > 0) {
        text[at++] = digits[--n];
    }
    return at;
}

static void images(const edx_device *d, edx_writer *w)
{
    const edx_flash *flash = d->board->flash;
    const uint8_t marks = flash->marks(flash->context);
    edx_image found[2];
    bool there[2];
    for (int slot = 0; slot < 2; slot++) {
        there[slot] = edx_image_read(flash, slot, &found[slot]);
    }
    edx_put_map(w, 1);
    edx_put_text(w, "images");
    edx_put_array(w, (size_t)there[0] + (size_t)there[1]);
    for (int slot = 0; slot < 2; slot++) {
        if (!there[slot]) {
            continue;
        }
        const edx_image *image = &found[slot];
        char version[32];
        size_t n = decimal(version, image->version[0]);
        version[n++] = '.';
        n += decimal(version + n, image->version[1]);
        version[n++] = '.';
        n += decimal(version + n, image->revision);
        version[n++] = '.';
        n += decimal(version + n, image->build);
        edx_put_map(w, 8);
        put_key_uint(w, "slot", (uint64_t)slot);
        edx_put_text(w, "version");
        edx_put_bytes(w, 3, (const uint8_t *)version, n);
        edx_put_text(w, "hash");
        edx_put_bytes(w, 2, image->digest, EDX_DIGEST);
        edx_put_text(w, "bootable");
        edx_put_bool(w, true);
        edx_put_text(w, "pending");
        edx_put_bool(w, slot == 1 && (marks & EDX_PENDING));
        edx_put_text(w, "confirmed");
        edx_put_bool(w, slot == 0 && (marks & EDX_CONFIRMED));
        edx_put_text(w, "active");
        edx_put_bool(w, slot == 0);
        edx_put_text(w, "permanent");
        edx_put_bool(w, slot == 1 && (marks & EDX_PERMANENT));
    }
}

/* --- requests --- */

static bool number(const request_t *q, const char *key, uint32_t *value)
{
    edx_item item;
    if (!edx_find(q->body, q->n, key, &item) || item.major != 0 || item.value > UINT32_MAX) {
        return false;
    }
    *value = (uint32_t)item.value;
    return true;
}

static int start_or_stop(edx_device *d, const request_t *q)
{
    uint32_t id;
    if (!number(q, "id", &id)) {
        return INVALID;
    }
    edx_running *r = id <= UINT8_MAX ? stream_of(d, (uint8_t)id) : NULL;
    if (r == NULL) {
        return NO_ENTRY;
    }
    const size_t stream = (size_t)(r - d->streams);
    const bool on = q->command == START;
    flush(d, stream);
    const bool changed = r->on != on;
    r->on = on;
    if (changed && d->board->wanted != NULL) {
        d->board->wanted(d->board->context, stream, on);
    }
    d->place_stream = (uint8_t)stream;
    d->place_next = r->next;
    d->places = true;
    return OK;
}

static int mark(edx_device *d, const request_t *q)
{
    const edx_flash *flash = d->board->flash;
    edx_item item;
    edx_image image;
    const bool confirm =
        edx_find(q->body, q->n, "confirm", &item) && item.major == 7 && item.value == 21;
    const uint8_t marks = flash->marks(flash->context);
    if (!edx_find(q->body, q->n, "hash", &item) || item.major == 7) {
        if (!confirm) {
            return NO_ENTRY;
        }
        flash->mark(flash->context, marks | EDX_CONFIRMED);
        return OK;
    }
    if (item.major != 2 || item.value != EDX_DIGEST) {
        return INVALID;
    }
    if (edx_image_read(flash, 0, &image) && memcmp(image.digest, item.data, EDX_DIGEST) == 0) {
        if (!confirm) {
            return NO_ENTRY;
        }
        flash->mark(flash->context, marks | EDX_CONFIRMED);
        return OK;
    }
    if (!edx_image_read(flash, 1, &image) || memcmp(image.digest, item.data, EDX_DIGEST) != 0) {
        return NO_ENTRY;
    }
    flash->mark(flash->context, (uint8_t)((marks & EDX_CONFIRMED) | EDX_PENDING |
                                          (confirm ? EDX_PERMANENT : 0)));
    return OK;
}

static int upload(edx_device *d, const request_t *q)
{
    const edx_flash *flash = d->board->flash;
    uint32_t offset, length;
    edx_item data, sha;
    if (!number(q, "off", &offset) || !edx_find(q->body, q->n, "data", &data) ||
        data.major != 2) {
        return INVALID;
    }
    const bool told = number(q, "len", &length);
    const bool has_sha = edx_find(q->body, q->n, "sha", &sha);
    if ((has_sha && (sha.major != 2 || sha.value != EDX_DIGEST)) || (offset == 0 && !told)) {
        return INVALID;
    }
    if (!(flash->marks(flash->context) & EDX_CONFIRMED)) {
        return BAD_STATE; /* the other slot holds what may have to come back */
    }
    return edx_upload_piece(&d->upload, offset, data.data, (size_t)data.value,
                            told ? &length : NULL, has_sha ? sha.data : NULL);
}

/* Writes the body of an answer; an SMP error where it refuses. */
static int act(edx_device *d, const request_t *q, edx_writer *w)
{
    const edx_board *b = d->board;
    edx_item item;
    const uint32_t what = (uint32_t)q->group << 16 | (uint32_t)q->command << 8 | q->op;
#define REQUEST(group, command, op) ((uint32_t)(group) << 16 | (uint32_t)(command) << 8 | (op))
    switch (what) {
    case REQUEST(OS, ECHO, WRITE):
        if (!edx_find(q->body, q->n, "d", &item) || item.major != 3) {
            return INVALID;
        }
        edx_put_map(w, 1);
        edx_put_text(w, "r");
        edx_put_bytes(w, 3, item.data, (size_t)item.value);
        return OK;
    case REQUEST(OS, PARAMETERS, READ):
        edx_put_map(w, 2);
        put_key_uint(w, "buf_size", EDX_MAX_FRAME);
        put_key_uint(w, "buf_count", 1);
        return OK;
    case REQUEST(OS, RESET, WRITE):
        if (b->restart == NULL) {
            return NOT_SUPPORTED;
        }
        d->restarting = true;
        edx_put_map(w, 0);
        return OK;
    case REQUEST(EDGE_DX, HELLO, READ):
        for (size_t i = 0; i < EDX_KEPT; i++) {
            d->kept[i].n = 0; /* a host begins anew, and may use its numbers again */
        }
        hello(d, w);
        return OK;
    case REQUEST(EDGE_DX, PING, READ):
        if (!edx_find(q->body, q->n, "t1", &item) || item.major != 0) {
            return INVALID;
        }
        edx_put_map(w, 3);
        put_key_uint(w, "t1", item.value);
        put_key_uint(w, "t2", b->time_us(b->context));
        put_key_uint(w, "t3", b->time_us(b->context));
        return OK;
    case REQUEST(EDGE_DX, START, WRITE):
    case REQUEST(EDGE_DX, STOP, WRITE):
        return start_or_stop(d, q);
    case REQUEST(EDGE_DX, VERDICT, WRITE):
        if (b->verdict == NULL) {
            return NOT_SUPPORTED;
        }
        b->verdict(b->context, q->body, q->n);
        edx_put_map(w, 0);
        return OK;
    case REQUEST(EDGE_DX, COUNTERS, READ):
        edx_put_map(w, 4);
        put_key_uint(w, "frames", d->rx.frames);
        put_key_uint(w, "damaged", d->rx.damaged);
        put_key_uint(w, "unreadable", d->unreadable);
        put_key_uint(w, "repeated", d->repeated);
        return OK;
    default:
        break;
    }
    if (b->flash == NULL) {
        return NOT_SUPPORTED;
    }
    int refused;
    switch (what) {
    case REQUEST(IMAGE, STATE, READ):
        images(d, w);
        return OK;
    case REQUEST(IMAGE, STATE, WRITE):
        refused = mark(d, q);
        if (refused == OK) {
            images(d, w);
        }
        return refused;
    case REQUEST(IMAGE, UPLOAD, WRITE):
        refused = upload(d, q);
        if (refused == OK) {
            edx_put_map(w, 1);
            put_key_uint(w, "off", d->upload.at);
        }
        return refused;
    case REQUEST(IMAGE, ERASE, WRITE):
        if (!(b->flash->marks(b->flash->context) & EDX_CONFIRMED)) {
            return BAD_STATE;
        }
        d->upload.busy = false;
        b->flash->mark(b->flash->context, EDX_CONFIRMED);
        if (!b->flash->erase(b->flash->context, 1)) {
            return UNKNOWN;
        }
        edx_put_map(w, 0);
        return OK;
    default:
        return NOT_SUPPORTED;
    }
#undef REQUEST
}

static void finish(edx_device *d, const request_t *q, const edx_writer *w)
{
    uint8_t *at = d->answer + 1;
    d->answer[0] = EDX_CONTROL;
    at[0] = (uint8_t)(1 << 3 | (q->op + 1));
    at[1] = 0;
    at[2] = (uint8_t)(w->n >> 8);
    at[3] = (uint8_t)w->n;
    at[4] = (uint8_t)(q->group >> 8);
    at[5] = (uint8_t)q->group;
    at[6] = q->sequence;
    at[7] = q->command;
    d->answer_n = 1 + HEAD + w->n;
}

static edx_writer body_writer(edx_device *d)
{
    /* The channel in front, the CRC behind. */
    return (edx_writer){d->answer + 1 + HEAD, 0, EDX_MAX_FRAME - 1 - HEAD - 4, false};
}

static void refuse(edx_device *d, const request_t *q, int code)
{
    edx_writer w = body_writer(d);
    edx_put_map(&w, 1);
    edx_put_text(&w, "err");
    edx_put_map(&w, 2);
    put_key_uint(&w, "group", q->group);
    put_key_uint(&w, "rc", (uint64_t)code);
    finish(d, q, &w);
}

static void request(edx_device *d, const uint8_t *data, size_t n)
{
    if (n < HEAD || data[0] >> 3 != 1 || ((data[0] & 7) != READ && (data[0] & 7) != WRITE) ||
        ((size_t)data[2] << 8 | data[3]) != n - HEAD || !edx_is_map(data + HEAD, n - HEAD)) {
        d->unreadable++;
        return;
    }
    if (d->answers) {
        return; /* one at a time; it will be asked again */
    }
    const request_t q = {
        data[0] & 7, data[7], data[6], (uint16_t)(data[4] << 8 | data[5]), data + HEAD, n - HEAD,
    };
    const uint32_t key = edx_crc32(0, data, n);
    d->keep = q.op == WRITE;
    d->places = false;
    d->answers = true;
    d->answer_after = d->queued;
    for (size_t i = 0; d->keep && i < EDX_KEPT; i++) {
        const edx_kept *kept = &d->kept[i];
        if (kept->n > 0 && kept->key == key && kept->request_bytes == n) {
            memcpy(d->answer, kept->bytes, kept->n);
            d->answer_n = kept->n;
            d->keep = false;
            d->repeated++;
            return;
        }
    }
    d->keep_key = key;
    d->keep_bytes = (uint32_t)n;
    edx_writer w = body_writer(d);
    const int refused = act(d, &q, &w);
    if (refused != OK) {
        refuse(d, &q, refused);
    } else {
        finish(d, &q, &w); /* of start and stop it is written when it leaves */
        if (w.full) {
            refuse(d, &q, 7);
        }
    }
    d->answer_after = d->queued; /* a stop has flushed */
}

/* --- the outside --- */

void edx_start(edx_device *d, const edx_board *board)
{
    memset(d, 0, sizeof *d);
    d->board = board;
    d->upload.flash = board->flash;
}

void edx_receive(edx_device *d, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n && !d->restarting; i++) {
        const size_t body = edx_rx_byte(&d->rx, data[i]);
        if (body > 0 && d->rx.held[0] == EDX_CONTROL) {
            request(d, d->rx.held + 1, body - 1);
        }
    }
}

static size_t answer(edx_device *d, uint8_t *out)
{
    if (d->places) {
        const uint8_t *at = d->answer + 1;
        const request_t q = {(uint8_t)((at[0] & 7) - 1), at[7], at[6],
                             (uint16_t)(at[4] << 8 | at[5]), NULL, 0};
        edx_writer w = body_writer(d);
        place(d, &w);
        finish(d, &q, &w);
    }
    if (d->keep && d->answer_n <= EDX_KEPT_BYTES) {
        edx_kept *kept = &d->kept[d->kept_next++ % EDX_KEPT];
        kept->key = d->keep_key;
        kept->request_bytes = d->keep_bytes;
        kept->n = (uint16_t)d->answer_n;
        memcpy(kept->bytes, d->answer, d->answer_n);
    }
    d->answers = false;
    return edx_frame(out, d->answer, d->answer_n);
}

size_t edx_poll(edx_device *d, uint8_t *out)
{
    if (d->answers && (int32_t)(d->left - d->answer_after) >= 0) {
        return answer(d, out);
    }
    if (d->restarting && !d->answers) {
        d->restarting = false;
        d->board->restart(d->board->context);
        return 0;
    }
    if (d->ring_n == 0) {
        return 0;
    }
    uint8_t body[EDX_MAX_FRAME];
    const size_t n = head_size(d);
    for (size_t i = 0; i < 1 + n; i++) {
        body[i] = ring_byte(d, 2 + i);
    }
    if (body[0] == EDX_STREAM) {
        edx_running *r = stream_of(d, body[3]);
        if (r != NULL) {
            body[2] |= r->overflow ? EDX_FLAG_OVERFLOW : 0;
            r->overflow = false;
            put_little(body + 21, r->dropped, 4);
        }
    }
    ring_leave(d, 3 + n);
    return edx_frame(out, body, 1 + n);
}
