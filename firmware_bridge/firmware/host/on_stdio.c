/* The reference as a process: a device whose world and cable are standard input and output.
 *
 * The tests run it under sanitizers, and a link talks to it as to any other device. Each command is
 * a letter, a length u32 LE and as many bytes; each answer a length u32 LE and bytes.
 *
 *   T time u64 LE   lets its world reach that many microseconds; answers when the next sample is
 *                   due, or eight times FF
 *   R bytes         bytes from the host
 *   K               answers with what leaves
 *   E kind          an event
 *   F body          answers with the frame of channel and payload
 *   U bytes         answers with the frames in them: length u32 LE, channel and payload, of each
 *   M bytes         answers 1 where they are a CBOR map as it must be, else 0
 *   S bytes         answers with their SHA-256
 *
 * Arguments: samples per second, leads, samples per message, a file of i32 LE counts.
 */
#include "../edx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT 65536u
#define LARGEST (1u << 22)

static const char *const NAMES[] = {"I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2"};

static struct {
    edx_device device;
    edx_board board;
    edx_stream_info stream;
    edx_flash flash;
    uint8_t slots[2][SLOT];
    uint8_t marks;
    uint64_t now_us, boot_us, began_us;
    uint64_t sent, began_sent;
    bool on;
    int32_t *counts;
    size_t samples;
} world;

static void fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static uint64_t time_us(void *context)
{
    (void)context;
    return world.now_us - world.boot_us;
}

static void wanted(void *context, size_t stream, bool on)
{
    (void)context;
    (void)stream;
    world.on = on;
    world.began_us = time_us(NULL);
    world.began_sent = world.sent;
}

static void verdict(void *context, const uint8_t *map, size_t n)
{
    (void)context;
    (void)map;
    char text[40];
    snprintf(text, sizeof text, "verdict of %u bytes", (unsigned)n);
    edx_log(&world.device, text);
}

static bool flash_read(void *context, int slot, uint32_t at, uint8_t *data, size_t n)
{
    (void)context;
    if (at > SLOT || n > SLOT - at) {
        return false;
    }
    memcpy(data, world.slots[slot] + at, n);
    return true;
}

static bool flash_erase(void *context, int slot)
{
    (void)context;
    memset(world.slots[slot], 0xFF, SLOT);
    return true;
}

static bool flash_write(void *context, int slot, uint32_t at, const uint8_t *data, size_t n)
{
    (void)context;
    if (at > SLOT || n > SLOT - at) {
        return false;
    }
    memcpy(world.slots[slot] + at, data, n);
    return true;
}

static uint8_t marks(void *context)
{
    (void)context;
    return world.marks;
}

static void mark(void *context, uint8_t value)
{
    (void)context;
    world.marks = value;
}

static void boot(void)
{
    if (edx_image_restart(&world.flash)) {
        static uint8_t kept[SLOT];
        memcpy(kept, world.slots[0], SLOT);
        memcpy(world.slots[0], world.slots[1], SLOT);
        memcpy(world.slots[1], kept, SLOT);
    }
    world.board.boot_id++;
    world.boot_us = world.now_us;
    world.on = false;
    world.sent = 0;
    edx_start(&world.device, &world.board);
    edx_log(&world.device, "boot");
}

static void restart(void *context)
{
    (void)context;
    boot();
}

/* A factory image: header, four bytes, digest. */
static void factory(void)
{
    uint8_t *at = world.slots[0];
    memset(at, 0, 32);
    memcpy(at, "\x3D\xB8\xF3\x96", 4);
    at[8] = 32;
    at[12] = 4;
    at[20] = 1;
    memcpy(at + 32, "edx!", 4);
    memcpy(at + 36, "\x07\x69\x28\x00\x10\x00\x20\x00", 8);
    edx_sha256 sha;
    edx_sha256_begin(&sha);
    edx_sha256_add(&sha, at, 36);
    edx_sha256_end(&sha, at + 44);
    memset(world.slots[1], 0xFF, SLOT);
    world.marks = EDX_CONFIRMED;
}

static uint64_t due_us(void)
{
    if (!world.on || world.sent >= world.samples) {
        return UINT64_MAX;
    }
    const uint64_t number = world.sent - world.began_sent + 1;
    const uint64_t since = (number * 1000000 + world.stream.rate_num - 1) / world.stream.rate_num;
    return world.boot_us + world.began_us + since;
}

static void advance(uint64_t now_us)
{
    while (due_us() <= now_us) {
        const uint64_t number = world.sent - world.began_sent;
        world.now_us = due_us();
        edx_push(&world.device, 0, world.began_us + number * 1000000 / world.stream.rate_num,
                 world.counts + world.sent * world.stream.lead_count, 0);
        world.sent++;
    }
    if (now_us > world.now_us) {
        world.now_us = now_us;
    }
}

static void say(const uint8_t *data, size_t n)
{
    const uint8_t length[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16),
                               (uint8_t)(n >> 24)};
    fwrite(length, 1, 4, stdout);
    fwrite(data, 1, n, stdout);
    fflush(stdout);
}

static void put_little(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t little(const uint8_t *b, unsigned n)
{
    uint64_t value = 0;
    while (n-- > 0) {
        value = value << 8 | b[n];
    }
    return value;
}

static void obey(int letter, uint8_t *data, size_t n)
{
    static uint8_t out[LARGEST];
    size_t size = 0, got;
    switch (letter) {
    case 'T':
        advance(little(data, 8));
        put_little(out, due_us(), 8);
        say(out, 8);
        break;
    case 'R':
        edx_receive(&world.device, data, n);
        break;
    case 'K':
        while (size + EDX_MAX_WIRE <= sizeof out &&
               (got = edx_poll(&world.device, out + size)) > 0) {
            size += got;
        }
        say(out, size);
        break;
    case 'E':
        edx_event(&world.device, data[0], NULL, 0);
        break;
    case 'F': {
        uint8_t body[EDX_MAX_FRAME + 4];
        if (n <= EDX_MAX_FRAME) {
            memcpy(body, data, n);
            size = edx_frame(out, body, n);
        }
        say(out, size);
        break;
    }
    case 'U': {
        static edx_rx rx;
        memset(&rx, 0, sizeof rx);
        for (size_t i = 0; i < n; i++) {
            got = edx_rx_byte(&rx, data[i]);
            if (got > 0) {
                put_little(out + size, got, 4);
                memcpy(out + size + 4, rx.held, got);
                size += 4 + got;
            }
        }
        say(out, size);
        break;
    }
    case 'M': {
        /* In a buffer of just this size, so that a byte too far shows. */
        uint8_t *exact = malloc(n > 0 ? n : 1);
        if (exact == NULL) {
            fail("no memory");
        }
        memcpy(exact, data, n);
        edx_item item;
        out[0] = edx_is_map(exact, n);
        edx_find(exact, n, "a", &item);
        free(exact);
        say(out, 1);
        break;
    }
    case 'S': {
        edx_sha256 sha;
        edx_sha256_begin(&sha);
        edx_sha256_add(&sha, data, n);
        edx_sha256_end(&sha, out);
        say(out, EDX_DIGEST);
        break;
    }
    default:
        fail("an unknown command");
    }
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fail("rate, leads, samples per message, file of counts");
    }
    const unsigned long leads = strtoul(arguments[2], NULL, 10);
    if (leads < 1 || leads > sizeof NAMES / sizeof *NAMES) {
        fail("1 to 8 leads");
    }
    world.stream = (edx_stream_info){
        .name = "ecg", .unit = "uV", .leads = NAMES, .rate_den = 1, .scale = 0.5f,
        .rate_num = (uint32_t)strtoul(arguments[1], NULL, 10), .lead_count = (uint8_t)leads,
        .format = EDX_I24, .bits = 24,
        .per_message = (uint16_t)strtoul(arguments[3], NULL, 10),
    };
    world.flash = (edx_flash){NULL, SLOT, flash_read, flash_erase, flash_write, marks, mark};
    world.board = (edx_board){
        .device = "edx reference", .serial = "HOST-1", .firmware = "1.0.0.0",
        .streams = &world.stream, .stream_count = 1, .mains_hz = 50, .time_us = time_us,
        .restart = restart, .wanted = wanted, .verdict = verdict, .flash = &world.flash,
    };
    FILE *file = fopen(arguments[4], "rb");
    if (file == NULL) {
        fail("no file of counts");
    }
    static uint8_t raw[LARGEST];
    const size_t bytes = fread(raw, 1, sizeof raw, file);
    fclose(file);
    world.samples = bytes / 4 / leads;
    world.counts = calloc(world.samples * leads + 1, sizeof *world.counts);
    if (world.counts == NULL) {
        fail("no memory");
    }
    for (size_t i = 0; i < world.samples * leads; i++) {
        world.counts[i] = (int32_t)(uint32_t)little(raw + 4 * i, 4);
    }
    factory();
    boot();

    static uint8_t data[LARGEST];
    uint8_t head[5];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        const size_t n = (size_t)little(head + 1, 4);
        if (n > sizeof data || fread(data, 1, n, stdin) != n) {
            fail("cut off");
        }
        obey(head[0], data, n);
    }
    free(world.counts);
    return 0;
}
