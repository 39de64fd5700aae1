/* The device's side of docs/wire.md, in portable C11, without allocation and without I/O.
 *
 * Give received bytes to edx_receive, samples to edx_push, and send what edx_poll gives. All state
 * is in one edx_device, whose size is fixed by the EDX_… settings below. Nothing here is called
 * from two threads or from an interrupt at once; a ring between the interrupt and edx_receive is
 * the board's.
 *
 *   edx_wire.c    CRC-32, COBS, frames            edx_cbor.c    CBOR maps
 *   edx_device.c  streams, events, SMP requests   edx_image.c   SHA-256, firmware in two slots
 */
#ifndef EDX_H
#define EDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest channel, payload and CRC together; the hello tells it. */
#ifndef EDX_MAX_FRAME
#define EDX_MAX_FRAME 512
#endif
/* Bytes of messages that wait; the oldest are dropped and counted. */
#ifndef EDX_RING
#define EDX_RING 4096
#endif
#ifndef EDX_MAX_STREAMS
#define EDX_MAX_STREAMS 2
#endif
/* Answers to writes that are kept, and the longest of them. */
#define EDX_KEPT 4
#ifndef EDX_KEPT_BYTES
#define EDX_KEPT_BYTES 256
#endif
#define EDX_MAX_WIRE (EDX_MAX_FRAME + EDX_MAX_FRAME / 254 + 2)
#define EDX_MAX_LEADS 32
#define EDX_DIGEST 32

_Static_assert(EDX_MAX_FRAME >= 256 && EDX_MAX_FRAME <= 8192, "docs/wire.md, section 2");
_Static_assert(EDX_RING >= 2 * EDX_MAX_FRAME && EDX_RING <= 0xFFFF, "room for two messages");

enum { EDX_LOG = 0, EDX_CONTROL = 1, EDX_STREAM = 2, EDX_EVENT = 3 };
enum { EDX_I16 = 1, EDX_I24 = 2, EDX_I32 = 3 };
enum { EDX_FLAG_LEAD_OFF = 0x01, EDX_FLAG_CONCEALED = 0x02, EDX_FLAG_OVERFLOW = 0x10 };

/* --- edx_wire.c --- */

/* zlib's CRC-32; begin with 0, and go on with what came back. */
uint32_t edx_crc32(uint32_t crc, const uint8_t *data, size_t n);
/* Writes up to n + n / 254 + 1 bytes; how many. */
size_t edx_cobs_encode(uint8_t *out, const uint8_t *in, size_t n);
/* In place; how many bytes, 0 where it is damaged or empty. */
size_t edx_cobs_decode(uint8_t *data, size_t n);

typedef struct {
    uint8_t held[EDX_MAX_WIRE];
    size_t n;
    bool overlong;
    uint32_t frames, damaged;
} edx_rx;

/* Takes a byte; the length of channel and payload at the front of rx->held where it completes a
 * frame, else 0. They stay there until the next call. */
size_t edx_rx_byte(edx_rx *rx, uint8_t byte);
/* Writes a whole frame with its zero to out[EDX_MAX_WIRE]; body is channel and payload in a buffer
 * with room for 4 more bytes. How many bytes; 0 where it is too long. */
size_t edx_frame(uint8_t *out, uint8_t *body, size_t n);

/* --- edx_cbor.c --- */

typedef struct {
    uint8_t *data;
    size_t n, room;
    bool full;
} edx_writer;

typedef struct {
    uint8_t major;
    uint64_t value;      /* number, or bytes of text */
    const uint8_t *data; /* of text or bytes */
} edx_item;

void edx_put_head(edx_writer *w, uint8_t major, uint64_t value);
void edx_put_uint(edx_writer *w, uint64_t value);
void edx_put_text(edx_writer *w, const char *text);
void edx_put_bytes(edx_writer *w, uint8_t major, const uint8_t *data, size_t n);
void edx_put_bool(edx_writer *w, bool value);
void edx_put_float(edx_writer *w, float value);
void edx_put_map(edx_writer *w, size_t pairs);
void edx_put_array(edx_writer *w, size_t items);

/* Whether these bytes are exactly one map as docs/wire.md allows. */
bool edx_is_map(const uint8_t *data, size_t n);
/* The value of a key in such a map. */
bool edx_find(const uint8_t *data, size_t n, const char *key, edx_item *found);

/* --- edx_image.c --- */

typedef struct {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
} edx_sha256;

void edx_sha256_begin(edx_sha256 *sha);
void edx_sha256_add(edx_sha256 *sha, const uint8_t *data, size_t n);
void edx_sha256_end(edx_sha256 *sha, uint8_t digest[EDX_DIGEST]);

enum { EDX_PENDING = 1, EDX_PERMANENT = 2, EDX_CONFIRMED = 4 };

/* Two slots of flash, as the board has them; marks survive a restart. */
typedef struct {
    void *context;
    uint32_t size;
    bool (*read)(void *context, int slot, uint32_t at, uint8_t *data, size_t n);
    bool (*erase)(void *context, int slot);
    bool (*write)(void *context, int slot, uint32_t at, const uint8_t *data, size_t n);
    uint8_t (*marks)(void *context);
    void (*mark)(void *context, uint8_t marks);
} edx_flash;

typedef struct {
    const edx_flash *flash;
    bool busy;
    uint32_t length, at;
    bool has_sha;
    uint8_t sha[EDX_DIGEST];
} edx_upload;

typedef struct {
    uint8_t version[4];
    uint16_t revision;
    uint32_t build;
    uint8_t digest[EDX_DIGEST];
} edx_image;

/* The image in a slot; false where there is none, or its digest is not that of its bytes. */
bool edx_image_read(const edx_flash *flash, int slot, edx_image *image);
/* Takes a piece of an upload; 0 or an SMP error. up->at is the offset that is wanted next. */
int edx_upload_piece(edx_upload *up, uint32_t offset, const uint8_t *data, size_t n,
                     const uint32_t *length, const uint8_t *sha);
/* What a bootloader does at a restart: whether the slots are to be swapped; sets the marks. */
bool edx_image_restart(const edx_flash *flash);

/* --- edx_device.c --- */

typedef struct {
    const char *name, *unit;
    const char *const *leads;
    uint32_t rate_num, rate_den;
    float scale;
    uint8_t id, lead_count, format, bits;
    uint16_t per_message;
} edx_stream_info;

typedef struct {
    const char *device, *serial, *firmware;
    const edx_stream_info *streams;
    size_t stream_count;
    uint16_t boot_id;
    uint8_t mains_hz;
    void *context;
    uint64_t (*time_us)(void *context);
    /* Restarts the device; called when the answer has left. NULL: reset is not supported. */
    void (*restart)(void *context);
    /* A stream was wanted or no longer; NULL where nothing is to be done. */
    void (*wanted)(void *context, size_t stream, bool on);
    /* A verdict's CBOR map; NULL: not supported. */
    void (*verdict)(void *context, const uint8_t *map, size_t n);
    const edx_flash *flash; /* NULL: no firmware updates */
} edx_board;

typedef struct {
    bool on, overflow;
    uint32_t next, dropped;
    uint16_t open_n;
    uint32_t open_first, open_off;
    uint64_t open_us;
    size_t open_bytes;
    uint8_t open[EDX_MAX_FRAME];
} edx_running;

typedef struct {
    uint32_t key, request_bytes;
    uint16_t n;
    uint8_t bytes[EDX_KEPT_BYTES];
} edx_kept;

typedef struct {
    const edx_board *board;
    edx_rx rx;
    edx_running streams[EDX_MAX_STREAMS];
    uint8_t ring[EDX_RING];
    size_t ring_at, ring_n;
    uint32_t queued, left; /* messages, ever */
    uint8_t answer[EDX_MAX_FRAME];
    size_t answer_n;
    bool answers, keep, restarting, places;
    uint8_t place_stream;
    uint32_t answer_after, place_next;
    uint32_t keep_key, keep_bytes;
    edx_kept kept[EDX_KEPT];
    unsigned kept_next;
    edx_upload upload;
    uint32_t events, unreadable, repeated;
} edx_device;

void edx_start(edx_device *device, const edx_board *board);
void edx_receive(edx_device *device, const uint8_t *data, size_t n);
/* One sample of all leads, acquired at t_us. Counted also where nobody wants the stream. */
void edx_push(edx_device *device, size_t stream, uint64_t t_us, const int32_t *counts,
              uint32_t leads_off);
void edx_log(edx_device *device, const char *text);
/* `map` is a CBOR map of up to 255 bytes, NULL for none. */
void edx_event(edx_device *device, uint8_t kind, const uint8_t *map, size_t n);
/* The next frame to send, in out[EDX_MAX_WIRE]; its length, 0 where there is none. */
size_t edx_poll(edx_device *device, uint8_t *out);

#endif
