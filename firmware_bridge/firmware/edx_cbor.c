/* CBOR maps, written and looked through; docs/wire.md, section 6. */
#include "edx.h"

#include <string.h>

#define MAX_DEPTH 8
#define BREAK 0xFF

static void put(edx_writer *w, const uint8_t *data, size_t n)
{
    if (n > w->room - w->n) {
        w->full = true;
        return;
    }
    memcpy(w->data + w->n, data, n);
    w->n += n;
}

void edx_put_head(edx_writer *w, uint8_t major, uint64_t value)
{
    uint8_t head[9];
    unsigned bytes = 0, code = 23;
    if (value > 23) {
        bytes = 1;
        code = 24;
        while (bytes < 8 && value >> (8 * bytes) != 0) {
            bytes *= 2;
            code++;
        }
    } else {
        code = (unsigned)value;
    }
    head[0] = (uint8_t)((unsigned)major << 5 | code);
    for (unsigned i = 0; i < bytes; i++) {
        head[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
    put(w, head, 1 + bytes);
}

void edx_put_uint(edx_writer *w, uint64_t value)
{
    edx_put_head(w, 0, value);
}

void edx_put_bytes(edx_writer *w, uint8_t major, const uint8_t *data, size_t n)
{
    edx_put_head(w, major, n);
    put(w, data, n);
}

void edx_put_text(edx_writer *w, const char *text)
{
    edx_put_bytes(w, 3, (const uint8_t *)text, strlen(text));
}

void edx_put_bool(edx_writer *w, bool value)
{
    const uint8_t byte = value ? 0xF5 : 0xF4;
    put(w, &byte, 1);
}

void edx_put_float(edx_writer *w, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint8_t bytes[5] = {
        0xFA, (uint8_t)(bits >> 24), (uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits,
    };
    put(w, bytes, sizeof bytes);
}

void edx_put_map(edx_writer *w, size_t pairs)
{
    edx_put_head(w, 5, pairs);
}

void edx_put_array(edx_writer *w, size_t items)
{
    edx_put_head(w, 4, items);
}

/* Behind an item's head; NULL where it is damaged or of a kind that no map here has. */
static const uint8_t *head(const uint8_t *p, const uint8_t *end, edx_item *item, bool *indefinite)
{
    if (p >= end) {
        return NULL;
    }
    const unsigned first = *p++, code = first & 31;
    item->major = (uint8_t)(first >> 5);
    item->value = code;
    *indefinite = code == 31;
    if (*indefinite) {
        return item->major >= 2 && item->major <= 5 ? p : NULL;
    }
    if (code > 27 || item->major == 6) {
        return NULL;
    }
    if (item->major == 7 && (code < 20 || code == 23 || code == 24)) {
        return NULL;
    }
    if (code > 23) {
        const size_t bytes = (size_t)1 << (code - 24);
        if (bytes > (size_t)(end - p)) {
            return NULL;
        }
        item->value = 0;
        for (size_t i = 0; i < bytes; i++) {
            item->value = item->value << 8 | *p++;
        }
    }
    return p;
}

/* Behind an item; NULL where it is damaged. It calls itself up to MAX_DEPTH deep. */
static const uint8_t *skip(const uint8_t *p, const uint8_t *end, int depth)
{
    edx_item item;
    bool indefinite;
    p = head(p, end, &item, &indefinite);
    if (p == NULL || item.major < 2 || item.major == 7) {
        return p;
    }
    if (item.major < 4 && !indefinite) {
        return item.value <= (uint64_t)(end - p) ? p + item.value : NULL;
    }
    if (depth >= MAX_DEPTH) {
        return NULL;
    }
    uint64_t left = item.major == 5 ? 2 * item.value : item.value;
    if (!indefinite && item.value > (uint64_t)(end - p)) {
        return NULL;
    }
    for (unsigned number = 0; indefinite || left > 0; number++, left--) {
        if (p >= end) {
            return NULL;
        }
        if (indefinite && *p == BREAK) {
            return item.major == 5 && number % 2 != 0 ? NULL : p + 1;
        }
        const unsigned kind = *p >> 5;
        if (item.major < 4 && (kind != item.major || (*p & 31) == 31)) {
            return NULL; /* text in pieces holds whole pieces of text */
        }
        if (item.major == 5 && number % 2 == 0 && (kind == 4 || kind == 5)) {
            return NULL; /* a container as a key */
        }
        p = skip(p, end, depth + 1);
        if (p == NULL) {
            return NULL;
        }
    }
    return p;
}

bool edx_is_map(const uint8_t *data, size_t n)
{
    return n > 0 && data[0] >> 5 == 5 && skip(data, data + n, 0) == data + n;
}

bool edx_find(const uint8_t *data, size_t n, const char *key, edx_item *found)
{
    const uint8_t *p = data, *end = data + n;
    bool indefinite;
    edx_item map;
    p = head(p, end, &map, &indefinite);
    if (p == NULL || map.major != 5) {
        return false;
    }
    for (uint64_t left = map.value; (indefinite || left > 0) && p < end && *p != BREAK; left--) {
        edx_item item;
        bool pieces;
        const uint8_t *text = head(p, end, &item, &pieces);
        const uint8_t *value = skip(p, end, 1);
        if (text == NULL || value == NULL) {
            return false;
        }
        if (item.major == 3 && !pieces && item.value == strlen(key) &&
            memcmp(text, key, (size_t)item.value) == 0) {
            found->data = head(value, end, found, &pieces);
            return found->data != NULL && !pieces;
        }
        p = skip(value, end, 1);
        if (p == NULL) {
            return false;
        }
    }
    return false;
}
