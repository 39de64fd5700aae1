/* A wearable for an emulated LM3S6965 (QEMU: -machine lm3s6965evb): two streams of a made-up ECG at
 * 250 and 500 Hz on UART0, verdicts, and firmware in two slots of RAM that survives a reset.
 *
 * It proves the protocol on a real instruction set, never speed: an emulator's time is its host's.
 * A board that is switched on has no memory of its last boot id here, so the emulator is given one:
 * -device loader,addr=0x20006000,data=<number>,data-len=4
 */
#include "../edx.h"
#include "beat.h"

#include <string.h>

#define REG(address) (*(volatile uint32_t *)(address))
#define UART_DR REG(0x4000C000)
#define UART_FR REG(0x4000C018)
#define SYSTICK_CONTROL REG(0xE000E010)
#define SYSTICK_RELOAD REG(0xE000E014)
#define SYSTICK_VALUE REG(0xE000E018)
#define RESET_CONTROL REG(0xE000ED0C)
#define SLOT 12288u
#define SYSTICK_MASK 0xFFFFFFu
#define BEAT_SAMPLES (sizeof BEAT / sizeof *BEAT)
#define KEPT_MAGIC 0x65647821u

enum { RX_EMPTY = 0x10, TX_FULL = 0x20 };

/* At 0x20006000, in this order: the emulator writes the seed. */
static struct {
    uint32_t seed, magic;
    uint16_t boot_id;
    uint8_t marks;
    uint8_t slots[2][SLOT];
} kept __attribute__((section(".kept")));

static edx_device device;
static uint64_t ticks;
static uint32_t last_tick;
static struct {
    bool on;
    uint64_t began_us, sent;
} running[2];

/* The counter runs around in 1.3 s, and the main loop asks far more often. An interrupt for each
 * millisecond would lose some whenever the emulator's host is busy. */
static uint64_t time_us(void *context)
{
    (void)context;
    const uint32_t now = SYSTICK_VALUE;
    ticks += (last_tick - now) & SYSTICK_MASK; /* it counts down */
    last_tick = now;
    return ticks * 2 / 25; /* 12.5 MHz after reset */
}

static void wanted(void *context, size_t stream, bool on)
{
    running[stream].on = on;
    running[stream].began_us = time_us(context);
    running[stream].sent = 0;
}

static void verdict(void *context, const uint8_t *map, size_t n)
{
    (void)context;
    edx_item label;
    char text[32] = "verdict ";
    if (edx_find(map, n, "label", &label) && label.major == 3 && label.value < 16) {
        memcpy(text + 8, label.data, (size_t)label.value);
    }
    edx_log(&device, text);
}

static void restart(void *context)
{
    (void)context;
    RESET_CONTROL = 0x05FA0004;
    for (;;) {
    }
}

static bool slot_read(void *context, int slot, uint32_t at, uint8_t *data, size_t n)
{
    (void)context;
    if (at > SLOT || n > SLOT - at) {
        return false;
    }
    memcpy(data, kept.slots[slot] + at, n);
    return true;
}

static bool slot_erase(void *context, int slot)
{
    (void)context;
    memset(kept.slots[slot], 0xFF, SLOT);
    return true;
}

static bool slot_write(void *context, int slot, uint32_t at, const uint8_t *data, size_t n)
{
    (void)context;
    if (at > SLOT || n > SLOT - at) {
        return false;
    }
    memcpy(kept.slots[slot] + at, data, n);
    return true;
}

static uint8_t marks(void *context)
{
    (void)context;
    return kept.marks;
}

static void mark(void *context, uint8_t value)
{
    (void)context;
    kept.marks = value;
}

static const edx_flash FLASH = {NULL, SLOT, slot_read, slot_erase, slot_write, marks, mark};
static const char *const LEADS[] = {"II"};
static const edx_stream_info STREAMS[] = {
    {.id = 0, .name = "ecg", .unit = "uV", .leads = LEADS, .lead_count = 1, .rate_num = 250,
     .rate_den = 1, .scale = 0.5f, .format = EDX_I24, .bits = 24, .per_message = 25},
    {.id = 1, .name = "ecg500", .unit = "uV", .leads = LEADS, .lead_count = 1, .rate_num = 500,
     .rate_den = 1, .scale = 0.5f, .format = EDX_I16, .bits = 16, .per_message = 50},
};
static edx_board board = {
    .device = "edge-dx demo wearable", .serial = "QEMU", .firmware = "1.0.0.0",
    .streams = STREAMS, .stream_count = 2, .mains_hz = 50, .time_us = time_us,
    .restart = restart, .wanted = wanted, .verdict = verdict, .flash = &FLASH,
};

/* A factory image, so that there is something to come back to: header, four bytes, digest. */
static void factory(void)
{
    uint8_t *at = kept.slots[0];
    edx_sha256 sha;
    memset(at, 0, 32);
    memcpy(at, "\x3D\xB8\xF3\x96", 4);
    at[8] = 32;
    at[12] = 4;
    at[20] = 1;
    memcpy(at + 32, "demo", 4);
    memcpy(at + 36, "\x07\x69\x28\x00\x10\x00\x20\x00", 8);
    edx_sha256_begin(&sha);
    edx_sha256_add(&sha, at, 36);
    edx_sha256_end(&sha, at + 44);
    slot_erase(NULL, 1);
    kept.marks = EDX_CONFIRMED;
}

static void boot(void)
{
    if (kept.magic != KEPT_MAGIC) {
        kept.magic = KEPT_MAGIC;
        kept.boot_id = (uint16_t)kept.seed;
        factory();
    }
    kept.boot_id++;
    if (edx_image_restart(&FLASH)) { /* what a bootloader does */
        for (size_t i = 0; i < SLOT; i++) {
            const uint8_t byte = kept.slots[0][i];
            kept.slots[0][i] = kept.slots[1][i];
            kept.slots[1][i] = byte;
        }
    }
    board.boot_id = kept.boot_id;
    SYSTICK_RELOAD = SYSTICK_MASK;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 5;
    last_tick = SYSTICK_VALUE;
    edx_start(&device, &board);
    edx_log(&device, "boot");
}

static void acquire(size_t stream)
{
    const uint32_t rate = STREAMS[stream].rate_num;
    while (running[stream].on) {
        const uint64_t number = running[stream].sent;
        if (running[stream].began_us + (number + 1) * 1000000 / rate > time_us(NULL)) {
            return;
        }
        const uint32_t index = device.streams[stream].next;
        const int32_t count = BEAT[index / (rate / 250) % BEAT_SAMPLES];
        edx_push(&device, stream, running[stream].began_us + number * 1000000 / rate, &count, 0);
        running[stream].sent++;
    }
}

int main(void)
{
    static uint8_t out[EDX_MAX_WIRE];
    boot();
    for (;;) {
        time_us(NULL);
        while (!(UART_FR & RX_EMPTY)) {
            const uint8_t byte = (uint8_t)UART_DR;
            edx_receive(&device, &byte, 1);
        }
        acquire(0);
        acquire(1);
        const size_t n = edx_poll(&device, out);
        for (size_t i = 0; i < n; i++) {
            while (UART_FR & TX_FULL) {
            }
            UART_DR = out[i];
        }
    }
}

/* --- from reset to main --- */

extern uint32_t data_begin, data_end, data_from, bss_begin, bss_end, stack_top;

void reset(void)
{
    const uint32_t *from = &data_from;
    for (uint32_t *to = &data_begin; to < &data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &bss_begin; to < &bss_end;) {
        *to++ = 0;
    }
    main();
}

static void stuck(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *const VECTORS[16] = {
    &stack_top, reset, stuck, stuck, stuck, stuck, stuck, NULL,
    NULL,       NULL,  NULL,  stuck, stuck, NULL,  stuck, stuck,
};
