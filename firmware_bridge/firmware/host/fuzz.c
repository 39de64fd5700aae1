/* Coverage-guided fuzzing of the reference, for clang's libFuzzer:
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined edx_*.c host/fuzz.c -o fuzz
 *
 * An input is a list of steps, each a byte for what, a byte n for how much, and up to n bytes:
 *
 *   0  bytes from the host as they are      2  samples, their values from the bytes
 *   1  an SMP message in a good frame       3  frames leave, up to n of them (0: all)
 *
 * Beside what the sanitizers see, it stops where the running firmware was written to, where what
 * leaves is no whole frame, and where samples are missing that no counter tells.
 */
#include "../edx.h"

#include <stdlib.h>
#include <string.h>

#define SLOT 4096u

static struct {
    edx_device device;
    edx_board board;
    edx_stream_info stream;
    edx_flash flash;
    uint8_t slots[2][SLOT], kept[SLOT];
    uint8_t marks;
    uint64_t now_us;
    bool heard;
    uint16_t boot;
    uint32_t next, dropped;
} world;

static const char *const NAMES[] = {"I", "II"};

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static uint64_t time_us(void *context)
{
    (void)context;
    return world.now_us;
}

static void verdict(void *context, const uint8_t *map, size_t n)
{
    (void)context;
    edx_item found;
    must(edx_is_map(map, n));
    edx_find(map, n, "index", &found);
}

static bool inside(uint32_t at, size_t n)
{
    return at <= SLOT && n <= SLOT - at;
}

static bool flash_read(void *context, int slot, uint32_t at, uint8_t *data, size_t n)
{
    (void)context;
    if (!inside(at, n)) {
        return false;
    }
    memcpy(data, world.slots[slot] + at, n);
    return true;
}

static bool flash_erase(void *context, int slot)
{
    (void)context;
    must(slot == 1);
    memset(world.slots[slot], 0xFF, SLOT);
    return true;
}

static bool flash_write(void *context, int slot, uint32_t at, const uint8_t *data, size_t n)
{
    (void)context;
    must(slot == 1);
    if (!inside(at, n)) {
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
        uint8_t running[SLOT];
        memcpy(running, world.slots[0], SLOT);
        memcpy(world.slots[0], world.slots[1], SLOT);
        memcpy(world.slots[1], running, SLOT);
    }
    memcpy(world.kept, world.slots[0], SLOT);
    world.board.boot_id++;
    edx_start(&world.device, &world.board);
}

static void restart(void *context)
{
    (void)context;
    boot();
}

static void factory(void)
{
    uint8_t *at = world.slots[0];
    memset(world.slots, 0xFF, sizeof world.slots);
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
    world.marks = EDX_CONFIRMED;
}

static uint32_t little(const uint8_t *b, unsigned n)
{
    uint32_t value = 0;
    while (n-- > 0) {
        value = value << 8 | b[n];
    }
    return value;
}

/* What leaves is one whole frame; of samples, what is missing in front of them is counted. */
static void sent(const uint8_t *wire, size_t n)
{
    static edx_rx rx;
    memset(&rx, 0, sizeof rx);
    size_t got = 0;
    for (size_t i = 0; i < n; i++) {
        must(got == 0);
        got = edx_rx_byte(&rx, wire[i]);
    }
    must(got > 0 && rx.held[0] <= EDX_EVENT && rx.damaged == 0);
    if (rx.held[0] != EDX_STREAM) {
        return;
    }
    must(got >= 25);
    const uint8_t *head = rx.held + 1;
    const uint16_t boot_id = (uint16_t)little(head + 4, 2);
    const uint32_t samples = little(head + 6, 2), first = little(head + 8, 4);
    const uint32_t dropped = little(head + 20, 4);
    if (world.heard && boot_id == world.boot) {
        must(first - world.next == dropped - world.dropped);
    }
    world.heard = true;
    world.boot = boot_id;
    world.next = first + samples;
    world.dropped = dropped;
}

static void leaves(size_t most)
{
    static uint8_t out[EDX_MAX_WIRE];
    for (size_t frames = 0; most == 0 || frames < most; frames++) {
        const size_t n = edx_poll(&world.device, out);
        if (n == 0) {
            return;
        }
        must(n <= sizeof out);
        sent(out, n);
    }
}

static void message(const uint8_t *data, size_t n)
{
    uint8_t body[1 + 255 + 4] = {EDX_CONTROL}, wire[EDX_MAX_WIRE];
    memcpy(body + 1, data, n);
    edx_receive(&world.device, wire, edx_frame(wire, body, 1 + n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&world, 0, sizeof world);
    world.stream = (edx_stream_info){
        .name = "ecg", .unit = "uV", .leads = NAMES, .rate_num = 250, .rate_den = 1, .scale = 0.5f,
        .lead_count = 2, .format = EDX_I24, .bits = 24, .per_message = 5,
    };
    world.flash = (edx_flash){NULL, SLOT, flash_read, flash_erase, flash_write, marks, mark};
    world.board = (edx_board){
        .device = "fuzzed", .serial = "F-1", .firmware = "1.0.0.0", .streams = &world.stream,
        .stream_count = 1, .time_us = time_us, .restart = restart, .verdict = verdict,
        .flash = &world.flash,
    };
    factory();
    boot();
    for (size_t at = 0; at + 2 <= size;) {
        const uint8_t what = data[at] & 3u;
        const size_t told = data[at + 1], rest = size - at - 2;
        const size_t n = told < rest ? told : rest;
        const uint8_t *bytes = data + at + 2;
        if (what == 0) {
            edx_receive(&world.device, bytes, n);
        } else if (what == 1) {
            message(bytes, n);
        } else if (what == 2) {
            for (size_t i = 0; i < n; i++) {
                const int32_t counts[2] = {(int32_t)bytes[i] * 65793 - 8388608, -(int32_t)bytes[i]};
                edx_push(&world.device, 0, world.now_us, counts, bytes[i] & 3u);
                world.now_us += 4000;
            }
        } else {
            leaves(told);
        }
        must(memcmp(world.kept, world.slots[0], SLOT) == 0);
        at += 2 + (what == 3 ? 0 : n);
    }
    leaves(0);
    return 0;
}
